#pragma once

#include <cstdint>
#include <deque>
#include <map>

#include "wire/frame.hpp"

namespace streamer {

/**
 * One direction of one channel, at its receiver: puts frames that came over several lanes, some of them twice, back in
 * order. Memory is bounded by the budget the caller checks with held().
 */
class ReceiveStream {
 public:
  enum class Taken { fresh, duplicate };

  /** Fails when the sequence is further ahead than any honest peer can be. */
  Result<Taken> accept(Frame frame);
  /** The next frame in order, not yet consumed; nullptr if it is not here. */
  Frame* head();
  /** The head was consumed. Returns its cost. */
  std::uint64_t pop();
  /** Everything before this was consumed: what an ACK says. */
  std::uint64_t nextWanted() const { return consumed_; }
  /** Cost of the frames held. */
  std::uint64_t held() const { return held_; }
  /** Forgets what is held; returns its cost. */
  std::uint64_t clear();

 private:
  std::map<std::uint64_t, Frame> frames_;
  std::uint64_t consumed_ = 0;
  std::uint64_t held_ = 0;
};

}  // namespace streamer

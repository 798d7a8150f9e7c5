#pragma once

#include <cstdint>
#include <set>

namespace streamer {

/**
 * Remembers which channel numbers are used up, so that a frame sent again for one of them is known from one for a channel
 * that never was. Numbers are given in order, so the memory is as large as the disorder.
 */
class FinishedChannels {
 public:
  bool contains(std::uint32_t id) const { return id < lowest_ || ahead_.contains(id); }
  /** Whether an honest peer can be using this number now. */
  bool plausible(std::uint32_t id) const { return id < lowest_ || id - lowest_ < kMaxAhead; }
  void add(std::uint32_t id) {
    if (id < lowest_) return;
    ahead_.insert(id);
    while (ahead_.erase(lowest_) != 0) ++lowest_;
  }

 private:
  // One channel may stay open while many others come and go.
  static constexpr std::uint32_t kMaxAhead = 1U << 20;

  std::uint32_t lowest_ = 1;
  std::set<std::uint32_t> ahead_;
};

}  // namespace streamer

#pragma once

#include <cstdint>

#include "base/time.hpp"

namespace streamer {

/**
 * The bandwidth limit of all lanes together. Bulk may start while the balance is positive and may overdraw it by the
 * frame it starts; interactive frames never wait but are counted, so bulk pays for them.
 */
class TokenBucket {
 public:
  TokenBucket(std::uint64_t bytesPerSecond, TimePoint now) : rate_(bytesPerSecond), updated_(now) {}

  /** 0 means unlimited. Takes effect at once, whatever was owed at the old rate. */
  void setRate(std::uint64_t bytesPerSecond, TimePoint now);
  std::uint64_t rate() const { return rate_; }

  bool mayStart(TimePoint now);
  void spend(std::uint64_t bytes, TimePoint now);
  /** How long until mayStart(); zero when it may already. */
  Duration waitTime(TimePoint now);

 private:
  void refill(TimePoint now);
  double burst() const;

  std::uint64_t rate_;
  double balance_ = 1;
  TimePoint updated_;
};

}  // namespace streamer

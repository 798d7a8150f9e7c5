#include "flow/token-bucket.hpp"

#include <algorithm>

namespace streamer {
namespace {

// What an idle link may save up. More would be felt by others as a burst, less would waste a late wake-up.
constexpr double kBurstSeconds = 0.01;
constexpr double kMaxDebtSeconds = 0.25;

}  // namespace

double TokenBucket::burst() const { return std::max(1.0, static_cast<double>(rate_) * kBurstSeconds); }

void TokenBucket::refill(TimePoint now) {
  if (now > updated_) {
    balance_ = std::min(burst(), balance_ + static_cast<double>(rate_) * toSeconds(now - updated_));
    updated_ = now;
  }
}

void TokenBucket::setRate(std::uint64_t bytesPerSecond, TimePoint now) {
  refill(now);
  rate_ = bytesPerSecond;
  balance_ = std::clamp(balance_, -static_cast<double>(rate_) * kMaxDebtSeconds, burst());
}

bool TokenBucket::mayStart(TimePoint now) {
  if (rate_ == 0) return true;
  refill(now);
  return balance_ > 0;
}

void TokenBucket::spend(std::uint64_t bytes, TimePoint now) {
  if (rate_ == 0) return;
  refill(now);
  balance_ -= static_cast<double>(bytes);
}

Duration TokenBucket::waitTime(TimePoint now) {
  if (mayStart(now)) return Duration::zero();
  const std::chrono::duration<double> wait((1.0 - balance_) / static_cast<double>(rate_));
  // Rounded up, so that a timer set to it does not fire just before.
  return std::chrono::duration_cast<Duration>(wait) + microseconds(1);
}

}  // namespace streamer

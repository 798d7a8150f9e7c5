#include "flow/inflight-window.hpp"

#include <algorithm>

namespace streamer {
namespace {

constexpr Duration kQueueTarget = milliseconds(20);
constexpr Duration kInterval = milliseconds(50);
constexpr Duration kMemory = seconds(2);
constexpr std::uint64_t kMinBytes = 128U << 10;
constexpr std::uint64_t kStartBytes = 1U << 20;
constexpr std::uint64_t kMaxBytes = 16U << 20;

}  // namespace

void InflightWindow::delivered(std::uint64_t wireBytes, bool limited, TimePoint now) {
  // After a pause (an idle guest, a cut link) the time in between says nothing about the path.
  if (now - lastDelivery_ > 4 * kInterval) {
    intervalStart_ = now;
    intervalBytes_ = 0;
    intervalLimited_ = false;
    lastDelivery_ = now;
    return;
  }
  lastDelivery_ = now;
  intervalBytes_ += wireBytes;
  intervalLimited_ = intervalLimited_ || limited;
  const Duration elapsed = now - intervalStart_;
  if (elapsed < kInterval) return;

  const auto measured = static_cast<std::uint64_t>(static_cast<double>(intervalBytes_) / toSeconds(elapsed));
  if (intervalLimited_ || measured >= rate_) samples_.push_back({now, measured});
  while (samples_.size() > 1 && now - samples_.front().at > kMemory) samples_.pop_front();
  rate_ = 0;
  for (const Sample& sample : samples_) rate_ = std::max(rate_, sample.rate);
  intervalStart_ = now;
  intervalBytes_ = 0;
  intervalLimited_ = false;
}

std::uint64_t InflightWindow::limitBytes() const {
  if (rate_ == 0) return kStartBytes;
  const double bytes = static_cast<double>(rate_) * toSeconds(roundTrip_ + kQueueTarget);
  return std::clamp(static_cast<std::uint64_t>(bytes), kMinBytes, kMaxBytes);
}

}  // namespace streamer

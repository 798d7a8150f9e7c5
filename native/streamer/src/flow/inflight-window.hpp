#pragma once

#include <cstdint>
#include <deque>

#include "base/time.hpp"

namespace streamer {

/**
 * Bounds the bulk bytes between the two local sockets to what the path carries in its round trip plus 20 ms. What is
 * in flight when the guest stops becomes its downtime, and QEMU measures the link by how fast we take its bytes.
 *
 * The rate is the highest seen over the last two seconds, as in BBR: a window that is too small shows as
 * rate = window / round trip, which gives a larger window next time, until the link or the receiver is the limit.
 */
class InflightWindow {
 public:
  /** The peer consumed bytes. `limited`: there was more to send than the window or the lanes allowed. */
  void delivered(std::uint64_t wireBytes, bool limited, TimePoint now);
  void setRoundTrip(Duration roundTrip) { roundTrip_ = roundTrip; }

  std::uint64_t limitBytes() const;
  /** Bytes per second the path delivered; 0 until measured. */
  std::uint64_t rate() const { return rate_; }

 private:
  struct Sample {
    TimePoint at;
    std::uint64_t rate;
  };

  std::deque<Sample> samples_;
  std::uint64_t rate_ = 0;
  Duration roundTrip_ = milliseconds(1);
  TimePoint intervalStart_{};
  TimePoint lastDelivery_{};
  std::uint64_t intervalBytes_ = 0;
  bool intervalLimited_ = false;
};

}  // namespace streamer

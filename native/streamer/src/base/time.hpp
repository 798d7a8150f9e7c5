#pragma once

#include <chrono>
#include <cstdint>

namespace streamer {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Duration = Clock::duration;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

inline double toSeconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

/** Milliseconds since 1970, for what people and other programs read. */
inline std::int64_t wallClockMs() {
  return std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace streamer

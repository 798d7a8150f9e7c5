#include "codec/compression-policy.hpp"

#include <algorithm>

namespace streamer {
namespace {

constexpr std::uint64_t kFirstSkipBytes = 1U << 20;
constexpr std::uint64_t kMaxSkipBytes = 32U << 20;
constexpr double kWorthwhileRatio = 0.95;
// The encoder must beat the link by this much to be let in again, so that the two do not take turns.
constexpr double kEncoderMargin = 1.2;
constexpr unsigned kTicksToSwitch = 2;
constexpr Duration kProbeInterval = seconds(1);

}  // namespace

const char* modeName(CompressionMode mode) {
  switch (mode) {
    case CompressionMode::automatic: return "auto";
    case CompressionMode::always: return "always";
    case CompressionMode::off: return "off";
  }
  return "";
}

std::optional<CompressionMode> modeNamed(std::string_view name) {
  for (const auto mode : {CompressionMode::automatic, CompressionMode::always, CompressionMode::off}) {
    if (name == modeName(mode)) return mode;
  }
  return std::nullopt;
}

void CompressionPolicy::set(CompressionSettings settings) {
  if (settings.level != settings_.level) encoderRate_ = 0;
  settings_ = settings;
  steppedAside_ = false;
  agreeingTicks_ = 0;
}

CompressionPolicy::Verdict CompressionPolicy::judge(Channel& channel, std::uint64_t bytes, bool encoderFull,
                                                    bool linkHungry, TimePoint now) {
  if (settings_.mode == CompressionMode::off) return Verdict::raw;
  if (channel.skipBytes > 0) {
    channel.skipBytes -= std::min(channel.skipBytes, bytes);
    return Verdict::raw;
  }
  if (settings_.mode == CompressionMode::always) return encoderFull ? Verdict::wait : Verdict::compress;
  if (steppedAside_) {
    // One block now and then keeps the encoder's rate known.
    if (encoderFull || now < nextProbe_) return Verdict::raw;
    nextProbe_ = now + kProbeInterval;
    return Verdict::compress;
  }
  if (!encoderFull) return Verdict::compress;
  if (!linkHungry) return Verdict::wait;
  passedBy_ += bytes;
  return Verdict::raw;
}

void CompressionPolicy::encoded(Channel& channel, std::uint64_t rawBytes, std::uint64_t payloadBytes, Duration took) {
  compressed_ += rawBytes;
  if (took > Duration::zero()) {
    const double rate = static_cast<double>(rawBytes) / toSeconds(took);
    encoderRate_ = encoderRate_ == 0 ? rate : 0.7 * encoderRate_ + 0.3 * rate;
  }
  if (static_cast<double>(payloadBytes) > kWorthwhileRatio * static_cast<double>(rawBytes)) {
    channel.nextSkipBytes = std::clamp(channel.nextSkipBytes * 2, kFirstSkipBytes, kMaxSkipBytes);
    channel.skipBytes = channel.nextSkipBytes;
  } else {
    channel.nextSkipBytes = 0;
  }
}

void CompressionPolicy::observeLink(double saturatedShare, std::uint64_t bytesPerSecond) {
  const bool linkWins = passedBy_ > compressed_ / 4 && saturatedShare < 0.5;
  const bool encoderWins = saturatedShare > 0.7 && encoderRate_ > kEncoderMargin * static_cast<double>(bytesPerSecond);
  passedBy_ = 0;
  compressed_ = 0;
  if (settings_.mode != CompressionMode::automatic) return;
  agreeingTicks_ = (steppedAside_ ? encoderWins : linkWins) ? agreeingTicks_ + 1 : 0;
  if (agreeingTicks_ < kTicksToSwitch) return;
  steppedAside_ = !steppedAside_;
  agreeingTicks_ = 0;
}

}  // namespace streamer

#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/time.hpp"

namespace streamer {

enum class CompressionMode { automatic, always, off };

/** `auto`, `always` or `off`. */
const char* modeName(CompressionMode mode);
std::optional<CompressionMode> modeNamed(std::string_view name);

struct CompressionSettings {
  CompressionMode mode = CompressionMode::automatic;
  int level = 1;
};

/**
 * Decides block by block whether compressing is worth it. Two reasons not to:
 *  - the channel's data does not shrink: skip, and try again after twice as many bytes as the last time;
 *  - the link takes raw bytes faster than the encoder makes compressed ones. Seen first as a hungry link beside a busy
 *    encoder, when single blocks go past it; when that lasts, compression steps aside altogether, until the link
 *    becomes the bottleneck at a rate that the encoder beats.
 * `always` knows the first reason only, and waits for the encoder.
 */
class CompressionPolicy {
 public:
  struct Channel {
    std::uint64_t skipBytes = 0;
    std::uint64_t nextSkipBytes = 0;
  };

  explicit CompressionPolicy(CompressionSettings settings) : settings_(settings) {}

  void set(CompressionSettings settings);
  const CompressionSettings& settings() const { return settings_; }

  enum class Verdict { compress, raw, wait };
  /** `linkHungry`: a lane could take a block now and has none. `wait`: better let the block grow until the encoder is free. */
  Verdict judge(Channel& channel, std::uint64_t bytes, bool encoderFull, bool linkHungry, TimePoint now);
  void encoded(Channel& channel, std::uint64_t rawBytes, std::uint64_t payloadBytes, Duration took);
  /** Once per tick of about 100 ms with bulk traffic: the share of the time the link was the bottleneck, and its rate. */
  void observeLink(double saturatedShare, std::uint64_t bytesPerSecond);
  bool steppedAside() const { return steppedAside_; }

 private:
  CompressionSettings settings_;
  double encoderRate_ = 0;  // raw bytes per second
  bool steppedAside_ = false;
  unsigned agreeingTicks_ = 0;
  std::uint64_t passedBy_ = 0;   // raw bytes past a busy encoder since the last tick
  std::uint64_t compressed_ = 0;  // raw bytes through it
  TimePoint nextProbe_{};
};

}  // namespace streamer

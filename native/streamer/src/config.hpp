#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "codec/compression-policy.hpp"
#include "net/tls.hpp"
#include "session/service.hpp"
#include "wire/handshake.hpp"

namespace streamer {

enum class Role { source, destination };

struct Config {
  std::string transferId;
  Role role = Role::source;
  std::string directory;
  TlsSettings tls;
  Token token{};
  std::string connectHost;
  std::uint16_t connectPort = 0;
  std::string listenHost;
  std::uint16_t listenPortMin = 0;
  std::uint16_t listenPortMax = 0;
  std::uint16_t lanes = 1;
  CompressionSettings compression;
  std::uint64_t bandwidthBytesPerSecond = 0;
  std::vector<Service> services;
  Duration serviceTimeout = seconds(2);
  Duration connectTimeout = seconds(15);
  Duration reconnectTimeout = seconds(60);
  Duration firstChannelTimeout = seconds(120);
  Duration linger = seconds(30);
};

/** Strict: what is unknown, missing or out of bounds is refused with the name of the setting. */
Result<Config> parseConfig(std::string_view json);
Result<Config> readConfig(const std::string& path);

}  // namespace streamer

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.hpp"
#include "codec/compression-policy.hpp"

namespace streamer {

struct StatusRequest {};
struct SetBandwidthRequest {
  std::uint64_t bytesPerSecond = 0;
};
struct SetCompressionRequest {
  CompressionSettings settings;
};
struct StopRequest {};
struct AbortRequest {
  std::string reason;
};

using ControlRequest =
    std::variant<StatusRequest, SetBandwidthRequest, SetCompressionRequest, StopRequest, AbortRequest>;

struct ParsedRequest {
  /** The request's id as JSON; "null" when there was none to be read. */
  std::string id = "null";
  Result<ControlRequest> request;
};

ParsedRequest parseControlRequest(std::string_view line);

}  // namespace streamer

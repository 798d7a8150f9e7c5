#include "control/request.hpp"

#include <limits>
#include <nlohmann/json.hpp>

#include "codec/zstd-codec.hpp"

namespace streamer {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxIdLength = 64;
constexpr std::size_t kMaxReasonLength = 400;

Error invalid(std::string what) { return Error{FailureCode::invalidRequest, std::move(what)}; }

/** Whether all members have one of these names. */
bool onlyHas(const json& object, std::initializer_list<const char*> names) {
  for (const auto& [name, value] : object.items()) {
    bool known = false;
    for (const char* allowed : names) known = known || name == allowed;
    if (!known) return false;
  }
  return true;
}

Result<ControlRequest> setBandwidth(const json& params) {
  const auto found = params.find("bytesPerSecond");
  if (!onlyHas(params, {"bytesPerSecond"}) || found == params.end() || !found->is_number_unsigned() ||
      found->get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return invalid("setBandwidth takes bytesPerSecond, an integer from 0");
  }
  return ControlRequest(SetBandwidthRequest{found->get<std::uint64_t>()});
}

Result<ControlRequest> setCompression(const json& params) {
  const auto mode = params.find("mode");
  const auto level = params.find("level");
  const Error refusal = invalid("setCompression takes mode (\"auto\", \"always\" or \"off\") and level, an integer from " +
                                std::to_string(kMinCompressionLevel) + " to " + std::to_string(kMaxCompressionLevel));
  if (!onlyHas(params, {"mode", "level"}) || mode == params.end() || !mode->is_string()) return refusal;
  const auto named = modeNamed(mode->get<std::string>());
  if (!named) return refusal;
  SetCompressionRequest request;
  request.settings.mode = *named;
  if (level != params.end()) {
    if (!level->is_number_unsigned() || level->get<std::uint64_t>() > static_cast<std::uint64_t>(kMaxCompressionLevel) ||
        level->get<int>() < kMinCompressionLevel) {
      return refusal;
    }
    request.settings.level = level->get<int>();
  }
  return ControlRequest(request);
}

Result<ControlRequest> parse(const json& root) {
  const auto method = root.find("method");
  if (method == root.end() || !method->is_string()) return invalid("The request has no method");
  const auto given = root.find("params");
  if (given != root.end() && !given->is_object()) return invalid("The params must be an object");
  if (!onlyHas(root, {"id", "method", "params"})) return invalid("The request has unknown members");
  const json params = given == root.end() ? json::object() : *given;
  if (*method == "setBandwidth") return setBandwidth(params);
  if (*method == "setCompression") return setCompression(params);
  if (*method == "status" && params.empty()) return ControlRequest(StatusRequest{});
  if (*method == "stop" && params.empty()) return ControlRequest(StopRequest{});
  if (*method == "abort" && onlyHas(params, {"reason"})) {
    const auto reason = params.find("reason");
    if (reason == params.end()) return ControlRequest(AbortRequest{"no reason given"});
    if (reason->is_string()) return ControlRequest(AbortRequest{reason->get<std::string>().substr(0, kMaxReasonLength)});
  }
  return invalid("Unknown method, or params that it does not take");
}

}  // namespace

ParsedRequest parseControlRequest(std::string_view line) {
  const json root = json::parse(line, nullptr, false);
  if (root.is_discarded()) return {"null", invalid("The line is not valid JSON")};
  if (!root.is_object()) return {"null", invalid("The request must be an object")};
  std::string id = "null";
  if (const auto found = root.find("id"); found != root.end()) {
    const bool shortText = found->is_string() && found->get_ref<const std::string&>().size() <= kMaxIdLength;
    if (!shortText && !found->is_number_integer() && !found->is_null()) {
      return {"null", invalid("The id must be an integer or a short text")};
    }
    id = found->dump(-1, ' ', true, json::error_handler_t::replace);
  }
  return {id, parse(root)};
}

}  // namespace streamer

#include "config.hpp"

#include <algorithm>
#include <fstream>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "codec/zstd-codec.hpp"
#include "wire/frame.hpp"

namespace streamer {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxConfigBytes = 1U << 20;
constexpr std::size_t kMaxServices = 32;
constexpr std::size_t kMaxTextLength = 1024;
// Longer paths do not fit into a unix socket address.
constexpr std::size_t kMaxSocketPath = 107;
constexpr std::int64_t kMaxMilliseconds = 24LL * 3600 * 1000;

/** Reads the members of one JSON object; remembers the first thing that is wrong. */
class ObjectReader {
 public:
  ObjectReader(const json& value, std::string where, std::optional<Error>& error)
      : value_(value), where_(std::move(where)), error_(error) {
    if (!value_.is_object()) fail("", "must be an object");
  }

  void allow(std::initializer_list<const char*> names) {
    if (error_) return;
    for (const auto& item : value_.items()) {
      const std::string& name = item.key();
      if (std::ranges::none_of(names, [&](const char* known) { return name == known; })) fail(name, "is unknown");
    }
  }
  const json* find(const char* name, bool required) {
    if (error_) return nullptr;
    const auto found = value_.find(name);
    if (found != value_.end()) return &*found;
    if (required) fail(name, "is missing");
    return nullptr;
  }
  std::string text(const char* name, std::size_t maxLength = kMaxTextLength) {
    const json* value = find(name, true);
    if (value == nullptr) return {};
    if (!value->is_string()) {
      fail(name, "must be a text");
      return {};
    }
    auto result = value->get<std::string>();
    if (result.empty() || result.size() > maxLength || result.find('\0') != std::string::npos) {
      fail(name, "must have 1 to " + std::to_string(maxLength) + " characters");
    }
    return result;
  }
  std::string absolutePath(const char* name, std::size_t maxLength = kMaxTextLength) {
    std::string path = text(name, maxLength);
    if (!error_ && path[0] != '/') fail(name, "must be an absolute path");
    return path;
  }
  std::int64_t integer(const char* name, std::int64_t min, std::int64_t max, std::optional<std::int64_t> fallback = {}) {
    const json* value = find(name, !fallback);
    if (value == nullptr) return fallback.value_or(min);
    // Larger than a signed number holds would wrap in get<>().
    const bool fits = value->is_number_integer() &&
                      (!value->is_number_unsigned() ||
                       value->get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
    if (!fits || value->get<std::int64_t>() < min || value->get<std::int64_t>() > max) {
      fail(name, "must be an integer from " + std::to_string(min) + " to " + std::to_string(max));
      return min;
    }
    return value->get<std::int64_t>();
  }
  Duration time(const char* name, Duration fallback) {
    return milliseconds(
        integer(name, 0, kMaxMilliseconds, std::chrono::duration_cast<milliseconds>(fallback).count()));
  }
  void fail(const std::string& name, const std::string& what) {
    if (error_) return;
    std::string path = where_;
    if (!name.empty()) path += (path.empty() ? "" : ".") + name;
    error_ = Error{FailureCode::invalidConfig, "Setting " + (path.empty() ? "file" : path) + " " + what};
  }

 private:
  const json& value_;
  std::string where_;
  std::optional<Error>& error_;
};

int hexDigit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  return -1;
}

std::optional<Token> parseToken(const std::string& text) {
  Token token{};
  if (text.size() != 2 * token.size()) return std::nullopt;
  for (std::size_t i = 0; i < token.size(); ++i) {
    const int high = hexDigit(text[2 * i]);
    const int low = hexDigit(text[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    token[i] = static_cast<std::byte>(high * 16 + low);
  }
  return token;
}

std::string ipAddress(ObjectReader& reader) {
  std::string host = reader.text("host");
  // Resolving a name may block, and would trust one more party.
  if (!host.empty() && !isIpAddress(host)) reader.fail("host", "must be an IP address");
  return host;
}

Service parseService(const json& value, const std::string& where, std::optional<Error>& error) {
  ObjectReader reader(value, where, error);
  reader.allow({"name", "path", "priority", "owner"});
  Service service;
  service.name = reader.text("name", kMaxServiceNameBytes);
  service.path = reader.absolutePath("path", kMaxSocketPath);
  const std::string priority = reader.text("priority");
  if (priority == "interactive") {
    service.priority = Priority::interactive;
  } else if (priority != "bulk") {
    reader.fail("priority", "must be \"interactive\" or \"bulk\"");
  }
  if (const json* owner = reader.find("owner", false)) {
    ObjectReader ids(*owner, where + ".owner", error);
    ids.allow({"uid", "gid"});
    constexpr std::int64_t kMaxId = std::numeric_limits<std::uint32_t>::max() - 1;
    service.owner = Owner{static_cast<uid_t>(ids.integer("uid", 0, kMaxId)), static_cast<gid_t>(ids.integer("gid", 0, kMaxId))};
  }
  return service;
}

void parseServices(ObjectReader& root, std::vector<Service>& services, std::optional<Error>& error) {
  const json* list = root.find("services", true);
  if (list == nullptr) return;
  if (!list->is_array() || list->empty() || list->size() > kMaxServices) {
    root.fail("services", "must be a list of 1 to " + std::to_string(kMaxServices));
    return;
  }
  std::set<std::string> seen;
  for (std::size_t i = 0; i < list->size() && !error; ++i) {
    const std::string where = "services[" + std::to_string(i) + "]";
    Service service = parseService((*list)[i], where, error);
    if (!error && (!seen.insert("name " + service.name).second || !seen.insert("path " + service.path).second)) {
      root.fail("services", "must not name anything twice");
    }
    services.push_back(std::move(service));
  }
}

void parseEnds(ObjectReader& root, Config& config, std::optional<Error>& error) {
  const bool source = config.role == Role::source;
  if (root.find(source ? "listen" : "connect", false) != nullptr) {
    root.fail(source ? "listen" : "connect", "has no meaning in this role");
  }
  const json* end = root.find(source ? "connect" : "listen", true);
  if (end == nullptr) return;
  ObjectReader reader(*end, source ? "connect" : "listen", error);
  if (source) {
    reader.allow({"host", "port"});
    config.connectHost = ipAddress(reader);
    config.connectPort = static_cast<std::uint16_t>(reader.integer("port", 1, 65535));
    return;
  }
  reader.allow({"host", "portMin", "portMax"});
  config.listenHost = ipAddress(reader);
  config.listenPortMin = static_cast<std::uint16_t>(reader.integer("portMin", 1, 65535));
  config.listenPortMax = static_cast<std::uint16_t>(reader.integer("portMax", config.listenPortMin, 65535));
}

void parseTls(ObjectReader& root, TlsSettings& tls, std::optional<Error>& error) {
  const json* value = root.find("tls", true);
  if (value == nullptr) return;
  ObjectReader reader(*value, "tls", error);
  reader.allow({"certificate", "key", "ca", "peerName"});
  tls.certificate = reader.absolutePath("certificate");
  tls.key = reader.absolutePath("key");
  tls.ca = reader.absolutePath("ca");
  tls.peerName = reader.text("peerName");
}

void parseCompression(ObjectReader& root, CompressionSettings& compression, std::optional<Error>& error) {
  const json* value = root.find("compression", false);
  if (value == nullptr) return;
  ObjectReader reader(*value, "compression", error);
  reader.allow({"mode", "level"});
  if (const auto mode = modeNamed(reader.text("mode"))) {
    compression.mode = *mode;
  } else {
    reader.fail("mode", "must be \"auto\", \"always\" or \"off\"");
  }
  compression.level = static_cast<int>(reader.integer("level", kMinCompressionLevel, kMaxCompressionLevel, 1));
}

}  // namespace

Result<Config> parseConfig(std::string_view text) {
  const json root = json::parse(text, nullptr, false);
  if (root.is_discarded()) return Error{FailureCode::invalidConfig, "The configuration is not valid JSON"};
  std::optional<Error> error;
  Config config;
  ObjectReader reader(root, "", error);
  reader.allow({"version", "transferId", "role", "directory", "tls", "token", "connect", "listen", "lanes",
                "compression", "bandwidthBytesPerSecond", "services", "serviceTimeoutMs", "connectTimeoutMs",
                "reconnectTimeoutMs", "firstChannelTimeoutMs", "lingerMs"});
  reader.integer("version", 1, 1);
  config.transferId = reader.text("transferId", 64);
  const std::string role = reader.text("role");
  if (role == "destination") {
    config.role = Role::destination;
  } else if (role != "source") {
    reader.fail("role", "must be \"source\" or \"destination\"");
  }
  // control.sock must fit behind it.
  config.directory = reader.absolutePath("directory", kMaxSocketPath - std::string_view("/control.sock").size());
  parseTls(reader, config.tls, error);
  const auto token = parseToken(reader.text("token"));
  if (!token) reader.fail("token", "must be 64 lower-case hexadecimal digits");
  config.token = token.value_or(Token{});
  parseEnds(reader, config, error);
  config.lanes = static_cast<std::uint16_t>(reader.integer("lanes", 1, 16, 2));
  parseCompression(reader, config.compression, error);
  config.bandwidthBytesPerSecond = static_cast<std::uint64_t>(
      reader.integer("bandwidthBytesPerSecond", 0, std::numeric_limits<std::int64_t>::max(), 0));
  parseServices(reader, config.services, error);
  config.serviceTimeout = reader.time("serviceTimeoutMs", config.serviceTimeout);
  config.connectTimeout = reader.time("connectTimeoutMs", config.connectTimeout);
  config.reconnectTimeout = reader.time("reconnectTimeoutMs", config.reconnectTimeout);
  config.firstChannelTimeout = reader.time("firstChannelTimeoutMs", config.firstChannelTimeout);
  config.linger = reader.time("lingerMs", config.linger);
  if (error) return *error;
  return config;
}

Result<Config> readConfig(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error{FailureCode::invalidConfig, "Cannot read the configuration " + path};
  std::string text(kMaxConfigBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  const auto size = static_cast<std::size_t>(file.gcount());
  if (size > kMaxConfigBytes) return Error{FailureCode::invalidConfig, "The configuration is too long"};
  text.resize(size);
  return parseConfig(text);
}

}  // namespace streamer

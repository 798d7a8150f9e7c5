#include "control/status.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "base/json-writer.hpp"
#include "base/log.hpp"

namespace streamer {
namespace {

constexpr std::size_t kMaxChannelsShown = 64;
// "starttime" of proc(5), counted from the first field behind the command name, which is field 3.
constexpr int kStartTicksField = 22 - 3;

std::string readSmallFile(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

const char* channelState(Channel::State state) {
  switch (state) {
    case Channel::State::opening:
    case Channel::State::open: return "open";
    case Channel::State::closed: return "closed";
    case Channel::State::resetting:
    case Channel::State::reset: return "reset";
  }
  return "reset";
}

void writeChannel(JsonWriter& json, std::uint32_t id, const std::string& service, Channel::State state,
                  const Channel::Counters& counters) {
  json.beginObject().field("id", id).field("service", service).field("state", channelState(state));
  json.field("rawBytesSent", counters.rawSent).field("rawBytesReceived", counters.rawReceived);
  json.field("wirePayloadBytesSent", counters.wirePayloadSent).field("openedAtMs", counters.openedAtMs);
  json.key("closedAtMs");
  if (counters.closedAtMs != 0) {
    json.value(counters.closedAtMs);
  } else {
    json.null();
  }
  json.endObject();
}

void writeChannels(JsonWriter& json, const Session& session) {
  json.key("channels").beginArray();
  const std::size_t open = std::min(session.channels().size(), kMaxChannelsShown);
  const auto& closed = session.closedChannels();
  const std::size_t shown = std::min(closed.size(), kMaxChannelsShown - open);
  for (std::size_t i = closed.size() - shown; i < closed.size(); ++i) {
    writeChannel(json, closed[i].id, closed[i].service, closed[i].state, closed[i].counters);
  }
  std::size_t written = 0;
  for (const auto& [id, channel] : session.channels()) {
    if (written++ == open) break;
    writeChannel(json, id, channel->service().name, channel->state(), channel->counters());
  }
  json.endArray();
  json.key("servicesTotals").beginObject();
  for (const auto& [name, totals] : session.serviceTotals()) {
    json.key(name).beginObject().field("channels", totals.channels);
    json.field("rawBytesSent", totals.rawSent).field("rawBytesReceived", totals.rawReceived).endObject();
  }
  json.endObject();
}

void writeCompression(JsonWriter& json, const Session& session) {
  const CompressionSettings& settings = session.compression();
  json.key("compression").beginObject();
  json.field("mode", modeName(settings.mode)).field("level", settings.level);
  json.field("steppedAside", session.compressionSteppedAside());
  json.field("rawBytesIn", session.totals().compressionIn);
  json.field("compressedBytesOut", session.totals().compressionOut);
  json.field("skippedBytes", session.totals().compressionSkipped).endObject();
}

}  // namespace

const char* stateName(TransferState state) {
  switch (state) {
    case TransferState::starting: return "starting";
    case TransferState::listening: return "listening";
    case TransferState::connecting: return "connecting";
    case TransferState::connected: return "connected";
    case TransferState::reconnecting: return "reconnecting";
    case TransferState::finished: return "finished";
    case TransferState::failed: return "failed";
  }
  return "failed";
}

ProcessIdentity ProcessIdentity::read() {
  ProcessIdentity identity;
  identity.pid = ::getpid();
  identity.bootId = readSmallFile("/proc/sys/kernel/random/boot_id");
  while (!identity.bootId.empty() && identity.bootId.back() == '\n') identity.bootId.pop_back();
  const std::string stat = readSmallFile("/proc/self/stat");
  // The command name may hold spaces and brackets; the last bracket ends it.
  std::size_t at = stat.rfind(')');
  for (int field = 0; field <= kStartTicksField && at != std::string::npos; ++field) at = stat.find(' ', at + 1);
  if (at != std::string::npos) {
    std::from_chars(stat.data() + at + 1, stat.data() + stat.size(), identity.startTicks);
  }
  return identity;
}

std::string statusJson(const StatusInput& input) {
  JsonWriter json;
  json.beginObject().field("version", 1).field("transferId", input.config.transferId);
  json.field("role", input.config.role == Role::source ? "source" : "destination");
  json.field("pid", input.process.pid).field("startTicks", input.process.startTicks);
  json.field("bootId", input.process.bootId).field("state", stateName(input.state)).key("failure");
  if (input.failure) {
    json.beginObject().field("code", codeName(input.failure->code)).field("message", input.failure->message).endObject();
  } else {
    json.null();
  }
  const Link* link = input.link;
  json.field("listenPort", input.listenPort).field("protocolVersion", link != nullptr ? link->protocolVersion() : 0);
  json.field("lanesUp", link != nullptr ? link->up() : 0);
  json.field("lanesConfigured", link != nullptr ? link->configuredLanes() : 0);
  json.field("reconnects", link != nullptr ? link->reconnects() : 0);
  json.field("stalledMs",
             link != nullptr ? std::chrono::duration_cast<milliseconds>(link->stalled()).count() : 0);
  json.field("rttMicros", link != nullptr ? link->roundTripMicros() : 0);
  const Lane::Traffic traffic = link != nullptr ? link->traffic() : Lane::Traffic{};
  json.field("wireBytesSent", traffic.sent).field("wireBytesReceived", traffic.received);
  if (input.session != nullptr) {
    json.field("rawBytesSent", input.session->totals().rawSent);
    json.field("rawBytesReceived", input.session->totals().rawReceived);
    json.field("bandwidthBytesPerSecond", input.session->bandwidth());
    writeCompression(json, *input.session);
    writeChannels(json, *input.session);
  }
  json.field("updatedAtMs", wallClockMs()).endObject();
  return json.text();
}

// No fsync: the directory is on a tmpfs, and after a crash of the host the transfer is gone anyway.
int StatusFile::tryWrite(const std::string& json) const {
  const std::string temporary = path_ + ".tmp";
  const Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR));
  if (!fd) return errno;
  std::string_view rest = json;
  while (!rest.empty()) {
    const ssize_t written = ::write(fd.get(), rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return written < 0 ? errno : EIO;
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  return ::rename(temporary.c_str(), path_.c_str()) == 0 ? 0 : errno;
}

void StatusFile::write(const std::string& json) {
  const int error = tryWrite(json + "\n");
  if (error != 0 && !failing_) {
    logWarn("Status not written", {{"reason", systemError(FailureCode::internal, path_, error).message}});
  }
  failing_ = error != 0;
}

}  // namespace streamer

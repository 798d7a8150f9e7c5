#pragma once

#include <optional>
#include <string>

#include "base/result.hpp"
#include "base/time.hpp"
#include "config.hpp"
#include "session/link.hpp"

namespace streamer {

enum class TransferState { starting, listening, connecting, connected, reconnecting, finished, failed };

const char* stateName(TransferState state);

/** Which process this is, so that a number that was given to another one later is not taken for it. */
struct ProcessIdentity {
  std::int64_t pid = 0;
  std::uint64_t startTicks = 0;
  std::string bootId;

  static ProcessIdentity read();
};

struct StatusInput {
  const Config& config;
  const ProcessIdentity& process;
  TransferState state;
  const std::optional<Error>& failure;
  std::uint16_t listenPort;
  const Link* link;
  const Session* session;
};

/** The status object of control socket and status file. */
std::string statusJson(const StatusInput& input);

/** Replaces a file as a whole or leaves the old one. */
class StatusFile {
 public:
  explicit StatusFile(const std::string& directory) : path_(directory + "/status.json") {}
  /** Failure is logged once until it works again; the transfer goes on without. */
  void write(const std::string& json);

 private:
  int tryWrite(const std::string& json) const;

  std::string path_;
  bool failing_ = false;
};

}  // namespace streamer

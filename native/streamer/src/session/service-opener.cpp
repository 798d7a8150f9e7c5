#include "session/service-opener.hpp"

#include <cerrno>
#include <vector>

namespace streamer {
namespace {

constexpr Duration kRetryInterval = milliseconds(20);

bool mayAppear(int errorNumber) {
  return errorNumber == ENOENT || errorNumber == ECONNREFUSED || errorNumber == EAGAIN;
}

}  // namespace

ServiceOpener::ServiceOpener(EventLoop& loop, Duration timeout, Outcome outcome)
    : loop_(loop), timeout_(timeout), outcome_(std::move(outcome)), timer_(loop, [this] { tryAll(); }) {}

void ServiceOpener::open(std::uint32_t channel, const std::string& path) {
  attempts_[channel] = Attempt{path, loop_.now() + timeout_};
  if (!timer_.armed()) timer_.arm(loop_.now());
}

void ServiceOpener::tryAll() {
  std::vector<std::pair<std::uint32_t, UnixConnection>> decided;
  for (const auto& [channel, attempt] : attempts_) {
    UnixConnection connection = connectUnix(attempt.path);
    if (connection.fd || !mayAppear(connection.errorNumber) || loop_.now() >= attempt.deadline) {
      decided.emplace_back(channel, std::move(connection));
    }
  }
  for (auto& [channel, connection] : decided) {
    attempts_.erase(channel);
    outcome_(channel, std::move(connection));
  }
  if (!attempts_.empty()) timer_.arm(loop_.now() + kRetryInterval);
}

}  // namespace streamer

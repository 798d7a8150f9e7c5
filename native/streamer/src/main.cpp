#include <fcntl.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <span>
#include <string_view>

#include "base/log.hpp"
#include "transfer.hpp"

namespace {

using namespace streamer;

// Documented in README.md; the agent reads them.
constexpr int kExitFinished = 0;
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr int kExitNotStarted = 3;
constexpr int kExitAborted = 4;

constexpr std::string_view kUsage =
    "Usage: novacron-streamer --config FILE\n"
    "\n"
    "Relays connections on local unix sockets to a peer over TLS lanes.\n"
    "\n"
    "  --config FILE   settings as JSON\n"
    "  --version       print the version and end\n"
    "  --help          print this and end\n";

void print(int fd, std::string_view text) {
  [[maybe_unused]] const ssize_t written = ::write(fd, text.data(), text.size());
}

/** A starter may close all three; a socket that got one of their numbers would be written to by the log. */
void fillStandardDescriptors() {
  for (int fd = ::open("/dev/null", O_RDWR); fd >= 0; fd = ::open("/dev/null", O_RDWR)) {
    if (fd > STDERR_FILENO) {
      ::close(fd);
      return;
    }
  }
}

void limitMemory() {
  // One arena per thread and freed blocks that stay mapped are what makes a relay's memory grow beyond its buffers.
  ::mallopt(M_ARENA_MAX, 2);
  ::mallopt(M_MMAP_THRESHOLD, 4 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 8 << 20);
}

int relay(const Config& config) {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGINT);
  // Before the first thread, which inherits the mask.
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGHUP, SIG_IGN);
  ::signal(SIGPIPE, SIG_IGN);
  const Fd signalFd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));

  auto loop = EventLoop::create();
  if (!loop || !signalFd) {
    logError("Not started", {{"reason", "No epoll, timer or signal descriptor"}});
    return kExitNotStarted;
  }
  Transfer transfer(**loop, config);
  const EventLoop::Watch watch(**loop, signalFd.get(), EPOLLIN, [&](std::uint32_t) {
    signalfd_siginfo info{};
    while (::read(signalFd.get(), &info, sizeof(info)) > 0) transfer.stop();
  });
  if (auto started = transfer.start(); !started) {
    logError("Not started", {{"code", codeName(started.error().code)}, {"reason", started.error().message}});
    return kExitNotStarted;
  }
  (*loop)->run();
  if (transfer.abortedHere()) return kExitAborted;
  return transfer.failed() ? kExitFailed : kExitFinished;
}

}  // namespace

int main(int argc, char** argv) {
  fillStandardDescriptors();
  // Whatever the starter left open would otherwise stay open for as long as the transfer lasts.
  ::close_range(STDERR_FILENO + 1, ~0U, 0);
  const std::span<char*> arguments(argv, static_cast<std::size_t>(argc));
  if (arguments.size() == 2 && std::string_view(arguments[1]) == "--version") {
    print(STDOUT_FILENO, "novacron-streamer " STREAMER_VERSION ", protocol 1\n");
    return kExitFinished;
  }
  if (arguments.size() == 2 && std::string_view(arguments[1]) == "--help") {
    print(STDOUT_FILENO, kUsage);
    return kExitFinished;
  }
  if (arguments.size() != 3 || std::string_view(arguments[1]) != "--config") {
    print(STDERR_FILENO, kUsage);
    return kExitUsage;
  }
#ifndef STREAMER_SANITIZED
  // Guest memory and keys stay out of core dumps and of other processes of this user.
  ::prctl(PR_SET_DUMPABLE, 0);
#endif
  limitMemory();
  auto config = readConfig(arguments[2]);
  if (!config) {
    logError("Configuration refused", {{"code", codeName(config.error().code)}, {"reason", config.error().message}});
    return kExitUsage;
  }
  return relay(*config);
}

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "net/event-loop.hpp"
#include "net/sockets.hpp"

namespace streamer {

/** Connects to local services, whose sockets may appear a moment after the channel was asked for. */
class ServiceOpener {
 public:
  using Outcome = std::function<void(std::uint32_t channel, UnixConnection connection)>;

  ServiceOpener(EventLoop& loop, Duration timeout, Outcome outcome);

  void open(std::uint32_t channel, const std::string& path);
  void forget(std::uint32_t channel) { attempts_.erase(channel); }

 private:
  struct Attempt {
    std::string path;
    TimePoint deadline;
  };

  void tryAll();

  EventLoop& loop_;
  Duration timeout_;
  Outcome outcome_;
  std::map<std::uint32_t, Attempt> attempts_;
  EventLoop::Timer timer_;
};

}  // namespace streamer

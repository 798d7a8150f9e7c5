#pragma once

#include <functional>
#include <map>
#include <string>

#include "control/request.hpp"
#include "net/event-loop.hpp"

namespace streamer {

/**
 * Answers requests on a unix socket: one JSON object per line each way. JSON lines and not protobuf, because the other
 * ends are a TypeScript daemon and a person with socat, and a few requests a second need no compact format.
 */
class ControlServer {
 public:
  /** The JSON of the result, or why not. */
  using Handler = std::function<Result<std::string>(const ControlRequest&)>;

  ControlServer(EventLoop& loop, Fd listener, Handler handler);

 private:
  struct Client {
    Fd fd;
    std::string input;
    std::string output;
    EventLoop::Watch watch;
  };

  void onConnection();
  void onClient(std::uint64_t id, std::uint32_t events);
  bool readFrom(Client& client);
  bool writeTo(Client& client);
  void answer(Client& client, std::string_view line);

  EventLoop& loop_;
  Fd listener_;
  Handler handler_;
  std::map<std::uint64_t, Client> clients_;
  std::uint64_t nextId_ = 1;
  EventLoop::Watch watch_;
};

}  // namespace streamer

#include "support/chaos-proxy.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <list>
#include <random>
#include <stdexcept>
#include <vector>

#include "net/sockets.hpp"

namespace test {
namespace {

using streamer::Fd;

struct Direction {
  std::vector<char> pending;
  bool ended = false;
};

struct Pair {
  Fd client;
  Fd server;
  Direction up;
  Direction down;
  bool broken = false;
};

void resetOnClose(int fd) {
  const linger abort{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
}

/** Moves what can be moved one way; returns the bytes. */
std::size_t move(Pair& pair, Direction& direction, int from, int to) {
  if (direction.pending.empty() && !direction.ended) {
    direction.pending.resize(64 << 10);
    const ssize_t got = ::recv(from, direction.pending.data(), direction.pending.size(), 0);
    direction.pending.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    if (got == 0) {
      direction.ended = true;
      ::shutdown(to, SHUT_WR);
    }
    if (got < 0 && errno != EAGAIN) pair.broken = true;
  }
  if (direction.pending.empty()) return 0;
  const ssize_t sent = ::send(to, direction.pending.data(), direction.pending.size(), MSG_NOSIGNAL);
  if (sent < 0) {
    if (errno != EAGAIN) pair.broken = true;
    return 0;
  }
  direction.pending.erase(direction.pending.begin(), direction.pending.begin() + sent);
  return static_cast<std::size_t>(sent);
}

void sendGarbage(int fd) {
  std::mt19937 random(7);
  std::array<unsigned char, 500> bytes{};
  for (unsigned char& byte : bytes) byte = static_cast<unsigned char>(random() & 0xff);
  [[maybe_unused]] const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

}  // namespace

ChaosProxy::ChaosProxy(std::uint16_t target) : target_(target) {
  listener_ = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener_.get(), generic, length) != 0 || ::listen(listener_.get(), 16) != 0 ||
      ::getsockname(listener_.get(), generic, &length) != 0) {
    throw std::runtime_error("Cannot start the proxy");
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { run(); });
}

ChaosProxy::~ChaosProxy() {
  stop_ = true;
  thread_.join();
}

void ChaosProxy::run() {
  std::list<Pair> pairs;
  while (!stop_) {
    while (Fd client = streamer::acceptConnection(listener_.get())) {
      ++accepted_;
      if (mode_ == Mode::refuse) continue;
      auto server = streamer::startConnectTcp("127.0.0.1", target_);
      if (!server) continue;
      pollfd connected{server->get(), POLLOUT, 0};
      ::poll(&connected, 1, 1000);
      pairs.emplace_back();
      pairs.back().client = std::move(client);
      pairs.back().server = std::move(*server);
    }
    if (cutAll_.exchange(false)) {
      for (Pair& pair : pairs) pair.broken = true;
    }
    if (!pairs.empty() && cutOne_.exchange(false)) pairs.front().broken = true;
    if (!pairs.empty() && garbage_.exchange(false)) sendGarbage(pairs.front().server.get());
    std::size_t moved = 0;
    for (auto pair = pairs.begin(); pair != pairs.end();) {
      if (mode_ != Mode::stall && !pair->broken) {
        moved += move(*pair, pair->up, pair->client.get(), pair->server.get());
        moved += move(*pair, pair->down, pair->server.get(), pair->client.get());
      }
      if (pair->broken || (pair->up.ended && pair->down.ended)) {
        if (pair->broken) resetOnClose(pair->client.get());
        if (pair->broken) resetOnClose(pair->server.get());
        pair = pairs.erase(pair);
      } else {
        ++pair;
      }
    }
    forwarded_ += moved;
    if (moved != 0) continue;
    std::vector<pollfd> watched{{listener_.get(), POLLIN, 0}};
    if (mode_ != Mode::stall) {
      for (const Pair& pair : pairs) {
        const auto wanted = [](const Direction& in, const Direction& out) {
          return static_cast<short>((in.pending.empty() && !in.ended ? POLLIN : 0) |
                                    (out.pending.empty() ? 0 : POLLOUT));
        };
        watched.push_back({pair.client.get(), wanted(pair.up, pair.down), 0});
        watched.push_back({pair.server.get(), wanted(pair.down, pair.up), 0});
      }
    }
    ::poll(watched.data(), watched.size(), 5);
  }
}

}  // namespace test

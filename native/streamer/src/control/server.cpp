#include "control/server.hpp"

#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "base/json-writer.hpp"
#include "net/sockets.hpp"

namespace streamer {
namespace {

constexpr std::size_t kMaxLineBytes = 64U << 10;
constexpr std::size_t kMaxClients = 16;
// A client that does not read its answers is cut off here.
constexpr std::size_t kMaxOutputBytes = 256U << 10;

}  // namespace

ControlServer::ControlServer(EventLoop& loop, Fd listener, Handler handler)
    : loop_(loop),
      listener_(std::move(listener)),
      handler_(std::move(handler)),
      watch_(loop, listener_.get(), EPOLLIN, [this](std::uint32_t) { onConnection(); }) {}

void ControlServer::onConnection() {
  while (Fd fd = acceptConnection(listener_.get())) {
    // The oldest goes, or clients that hang would lock out the one that wants to stop the transfer.
    if (clients_.size() >= kMaxClients) clients_.erase(clients_.begin());
    const std::uint64_t id = nextId_++;
    Client& client = clients_[id];
    client.fd = std::move(fd);
    client.watch = EventLoop::Watch(loop_, client.fd.get(), EPOLLIN,
                                    [this, id](std::uint32_t events) { onClient(id, events); });
  }
}

void ControlServer::onClient(std::uint64_t id, std::uint32_t events) {
  const auto found = clients_.find(id);
  if (found == clients_.end()) return;
  Client& client = found->second;
  bool alive = true;
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) alive = readFrom(client);
  alive = writeTo(client) && alive;
  if (!alive || client.output.size() > kMaxOutputBytes) {
    clients_.erase(found);
    return;
  }
  client.watch.setEvents(client.output.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

bool ControlServer::readFrom(Client& client) {
  std::array<char, 16U << 10> chunk{};
  const ssize_t got = ::recv(client.fd.get(), chunk.data(), chunk.size(), 0);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return false;
  client.input.append(chunk.data(), static_cast<std::size_t>(got));
  std::size_t start = 0;
  for (std::size_t end = client.input.find('\n'); end != std::string::npos; end = client.input.find('\n', start)) {
    answer(client, std::string_view(client.input).substr(start, end - start));
    start = end + 1;
    if (client.output.size() > kMaxOutputBytes) return false;
  }
  client.input.erase(0, start);
  return client.input.size() <= kMaxLineBytes;
}

void ControlServer::answer(Client& client, std::string_view line) {
  ParsedRequest parsed = parseControlRequest(line.substr(0, kMaxLineBytes));
  Result<std::string> result =
      parsed.request ? handler_(*parsed.request) : Result<std::string>(parsed.request.error());
  JsonWriter json;
  json.beginObject().key("id").raw(parsed.id);
  if (result) {
    json.key("result").raw(*result);
  } else {
    json.key("error").beginObject();
    json.field("code", codeName(result.error().code)).field("message", result.error().message).endObject();
  }
  json.endObject();
  client.output += json.text();
  client.output += '\n';
}

bool ControlServer::writeTo(Client& client) {
  while (!client.output.empty()) {
    const ssize_t sent = ::send(client.fd.get(), client.output.data(), client.output.size(), MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR;
    client.output.erase(0, static_cast<std::size_t>(sent));
  }
  return true;
}

}  // namespace streamer

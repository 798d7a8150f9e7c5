#include "net/sockets.hpp"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace streamer {
namespace {

// The part of a lane's queue that an interactive frame can no longer overtake.
constexpr int kNotSentLowWater = 128 << 10;
constexpr int kUserTimeoutMs = 10'000;
constexpr int kUnixBacklog = 64;
constexpr int kTcpBacklog = 32;

bool fillUnixAddress(const std::string& path, sockaddr_un& address) {
  if (path.empty() || path.size() >= sizeof(address.sun_path)) return false;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return true;
}

struct IpAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

std::optional<IpAddress> parseIp(const std::string& host, std::uint16_t port) {
  IpAddress address;
  sockaddr_in v4{};
  if (::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&address.storage, &v4, sizeof(v4));
    address.length = sizeof(v4);
    return address;
  }
  sockaddr_in6 v6{};
  if (::inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    std::memcpy(&address.storage, &v6, sizeof(v6));
    address.length = sizeof(v6);
    return address;
  }
  return std::nullopt;
}

const sockaddr* asSockaddr(const void* address) { return static_cast<const sockaddr*>(address); }

void setOption(int fd, int level, int name, int value) { ::setsockopt(fd, level, name, &value, sizeof(value)); }

Fd newSocket(int family) { return Fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)); }

}  // namespace

Result<Fd> listenUnix(const std::string& path, const std::optional<Owner>& owner) {
  const auto fail = [&](int errorNumber) {
    return systemError(FailureCode::localSocketFailed, "Cannot listen on " + path, errorNumber);
  };
  sockaddr_un address{};
  if (!fillUnixAddress(path, address)) return fail(ENAMETOOLONG);
  const UnixConnection probe = connectUnix(path);
  if (probe.fd) return Error{FailureCode::alreadyRunning, "Cannot listen on " + path + ": somebody already does"};
  if (probe.errorNumber == ECONNREFUSED) {
    struct stat info {};
    if (::lstat(path.c_str(), &info) != 0) return fail(errno);
    if (!S_ISSOCK(info.st_mode)) return fail(EEXIST);
    if (::unlink(path.c_str()) != 0) return fail(errno);
  }
  Fd fd = newSocket(AF_UNIX);
  if (!fd) return fail(errno);
  // On Linux the mode of an unbound socket's inode is what bind() creates the file with, so there is no moment in
  // which others could connect.
  if (::fchmod(fd.get(), S_IRUSR | S_IWUSR) != 0) return fail(errno);
  if (::bind(fd.get(), asSockaddr(&address), sizeof(address)) != 0) return fail(errno);
  if (::chmod(path.c_str(), S_IRUSR | S_IWUSR) != 0) return fail(errno);
  if (owner && ::chown(path.c_str(), owner->uid, owner->gid) != 0) return fail(errno);
  if (::listen(fd.get(), kUnixBacklog) != 0) return fail(errno);
  return fd;
}

UnixConnection connectUnix(const std::string& path) {
  sockaddr_un address{};
  if (!fillUnixAddress(path, address)) return {Fd(), ENAMETOOLONG};
  Fd fd = newSocket(AF_UNIX);
  if (!fd) return {Fd(), errno};
  // A unix socket connects at once or not at all; EAGAIN means a full backlog.
  if (::connect(fd.get(), asSockaddr(&address), sizeof(address)) != 0) return {Fd(), errno};
  return {std::move(fd), 0};
}

Fd acceptConnection(int listener) {
  return Fd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

pid_t peerPid(int fd) {
  ucred credentials{};
  socklen_t length = sizeof(credentials);
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0 ? credentials.pid : 0;
}

bool isIpAddress(const std::string& host) { return parseIp(host, 0).has_value(); }

Result<TcpListener> listenTcp(const std::string& host, std::uint16_t portMin, std::uint16_t portMax) {
  int lastError = EADDRINUSE;
  for (std::uint32_t port = portMin; port <= portMax; ++port) {
    const auto address = parseIp(host, static_cast<std::uint16_t>(port));
    if (!address) return Error{FailureCode::invalidConfig, "Cannot listen on " + host + ": not an IP address"};
    Fd fd = newSocket(address->storage.ss_family);
    if (!fd) return systemError(FailureCode::noFreePort, "Cannot listen on " + host, errno);
    // Without it a port that served the last transfer would stay taken for a minute.
    setOption(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
    if (::bind(fd.get(), asSockaddr(&address->storage), address->length) == 0 && ::listen(fd.get(), kTcpBacklog) == 0) {
      return TcpListener{std::move(fd), static_cast<std::uint16_t>(port)};
    }
    lastError = errno;
    if (lastError != EADDRINUSE && lastError != EACCES) break;
  }
  return systemError(
      FailureCode::noFreePort,
      "Cannot listen on " + host + ", ports " + std::to_string(portMin) + " to " + std::to_string(portMax), lastError);
}

Result<Fd> startConnectTcp(const std::string& host, std::uint16_t port) {
  const auto address = parseIp(host, port);
  if (!address) return Error{FailureCode::invalidConfig, "Cannot connect to " + host + ": not an IP address"};
  Fd fd = newSocket(address->storage.ss_family);
  if (!fd) return systemError(FailureCode::peerUnreachable, "Cannot create a socket", errno);
  if (::connect(fd.get(), asSockaddr(&address->storage), address->length) != 0 && errno != EINPROGRESS) {
    return systemError(FailureCode::peerUnreachable, "Cannot connect to " + host + ":" + std::to_string(port), errno);
  }
  return fd;
}

int socketError(int fd) {
  int error = 0;
  socklen_t length = sizeof(error);
  return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

void tuneLaneSocket(int fd) {
  setOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  setOption(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, kNotSentLowWater);
  setOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, kUserTimeoutMs);
  setOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}

std::string peerAddress(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof(storage);
  if (::getpeername(fd, static_cast<sockaddr*>(static_cast<void*>(&storage)), &length) != 0) return "unknown";
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (storage.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &storage, sizeof(v4));
    ::inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    return std::string(text.data()) + ":" + std::to_string(ntohs(v4.sin_port));
  }
  sockaddr_in6 v6{};
  std::memcpy(&v6, &storage, sizeof(v6));
  ::inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
  return "[" + std::string(text.data()) + "]:" + std::to_string(ntohs(v6.sin6_port));
}

std::uint64_t unacknowledgedBytes(int fd) {
  int bytes = 0;
  return ::ioctl(fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? static_cast<std::uint64_t>(bytes) : 0;
}

std::uint32_t minRoundTripMicros(int fd) {
  tcp_info info{};
  socklen_t length = sizeof(info);
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return 0;
  return info.tcpi_min_rtt == ~0U ? 0 : info.tcpi_min_rtt;
}

}  // namespace streamer

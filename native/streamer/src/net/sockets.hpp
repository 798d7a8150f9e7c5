#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <sys/types.h>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace streamer {

struct Owner {
  uid_t uid = 0;
  gid_t gid = 0;
};

/**
 * Listens on a unix socket that only its owner may use. A socket file that nobody listens on is replaced; a live one is
 * refused with `alreadyRunning`.
 */
Result<Fd> listenUnix(const std::string& path, const std::optional<Owner>& owner);
/** A non-blocking connection, or the errno that says why not. */
struct UnixConnection {
  Fd fd;
  int errorNumber = 0;
};
UnixConnection connectUnix(const std::string& path);
/** The next waiting connection; empty when there is none. */
Fd acceptConnection(int listener);
/** The process id at the other end of a unix socket, 0 if unknown. */
pid_t peerPid(int fd);

bool isIpAddress(const std::string& host);
struct TcpListener {
  Fd fd;
  std::uint16_t port = 0;
};
/** Listens on the first free port of the range. */
Result<TcpListener> listenTcp(const std::string& host, std::uint16_t portMin, std::uint16_t portMax);
/** Starts connecting. The socket becomes writable when it is decided. */
Result<Fd> startConnectTcp(const std::string& host, std::uint16_t port);
/** What became of a connection attempt: 0 or an errno. */
int socketError(int fd);
/** No delay for small frames, little unsent data in the kernel, dead peers noticed. */
void tuneLaneSocket(int fd);
/** "address:port" of the other end, for people. */
std::string peerAddress(int fd);
/** Bytes the kernel holds that the peer has not acknowledged. */
std::uint64_t unacknowledgedBytes(int fd);
/** The kernel's least round trip in microseconds, 0 if unknown. */
std::uint32_t minRoundTripMicros(int fd);

}  // namespace streamer

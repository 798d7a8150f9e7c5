#include "tls-pipe.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <stdexcept>
#include <vector>

#include "support/process.hpp"

namespace bench {
namespace {

using streamer::Fd;

constexpr std::size_t kChunk = 256 << 10;

struct FreeSsl {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};

void require(bool condition, const char* what) {
  if (!condition) throw std::runtime_error(what);
}

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

std::unique_ptr<SSL, FreeSsl> secure(const TlsPipe& pipe, const test::CertificateFiles& files, int fd, bool server) {
  const std::unique_ptr<SSL_CTX, FreeSsl> context(SSL_CTX_new(TLS_method()));
  SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
  require(SSL_CTX_use_certificate_chain_file(context.get(), files.certificate.c_str()) == 1, "certificate");
  require(SSL_CTX_use_PrivateKey_file(context.get(), files.key.c_str(), SSL_FILETYPE_PEM) == 1, "key");
  require(SSL_CTX_load_verify_file(context.get(), pipe.ca.c_str()) == 1, "ca");
  // The source never reads, and closing a socket with unread tickets would reset the connection.
  SSL_CTX_set_num_tickets(context.get(), 0);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  std::unique_ptr<SSL, FreeSsl> ssl(SSL_new(context.get()));
  SSL_set_fd(ssl.get(), fd);
  require((server ? SSL_accept(ssl.get()) : SSL_connect(ssl.get())) == 1, "handshake");
  return ssl;
}

void sourceEnd(const TlsPipe& pipe) {
  const Fd listener = test::listenOn(pipe.listenPath);
  const Fd local = test::acceptOn(listener);
  const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = loopback(pipe.port);
  test::await("the pipe's other end", [&] {
    return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  });
  const auto ssl = pipe.encrypted ? secure(pipe, pipe.source, socket.get(), false) : nullptr;
  std::vector<char> chunk(kChunk);
  while (true) {
    const ssize_t got = ::recv(local.get(), chunk.data(), chunk.size(), 0);
    if (got <= 0) break;
    if (ssl != nullptr) {
      std::size_t written = 0;
      require(SSL_write_ex(ssl.get(), chunk.data(), static_cast<std::size_t>(got), &written) == 1, "write");
    } else {
      test::sendAll(socket, std::string_view(chunk.data(), static_cast<std::size_t>(got)));
    }
  }
  if (ssl != nullptr) SSL_shutdown(ssl.get());
}

void destinationEnd(const TlsPipe& pipe) {
  const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int yes = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  const sockaddr_in address = loopback(pipe.port);
  require(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0, "bind");
  require(::listen(listener.get(), 1) == 0, "listen");
  const Fd socket = test::acceptOn(listener);
  const auto ssl = pipe.encrypted ? secure(pipe, pipe.destination, socket.get(), true) : nullptr;
  const Fd local = test::connectTo(pipe.connectPath);
  std::vector<char> chunk(kChunk);
  while (true) {
    std::size_t got = 0;
    if (ssl != nullptr) {
      if (SSL_read_ex(ssl.get(), chunk.data(), chunk.size(), &got) != 1) break;
    } else {
      const ssize_t count = ::recv(socket.get(), chunk.data(), chunk.size(), 0);
      if (count <= 0) break;
      got = static_cast<std::size_t>(count);
    }
    test::sendAll(local, std::string_view(chunk.data(), got));
  }
}

pid_t inChild(void (*end)(const TlsPipe&), const TlsPipe& pipe) {
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  try {
    end(pipe);
  } catch (const std::exception&) {
    ::_exit(1);
  }
  ::_exit(0);
}

}  // namespace

void runPipe(const TlsPipe& pipe) {
  const pid_t destination = inChild(destinationEnd, pipe);
  const pid_t source = inChild(sourceEnd, pipe);
  for (const pid_t pid : {source, destination}) {
    int status = 0;
    ::waitpid(pid, &status, 0);
  }
}

}  // namespace bench

#pragma once

#include <cstdint>
#include <string>

#include "support/certificates.hpp"

namespace bench {

/**
 * Relays one unix connection over one TLS connection and out of another unix connection with as little as OpenSSL
 * needs: two processes like the streamers, a blocking loop in each. What a relay costs without anything the streamer adds.
 */
struct TlsPipe {
  std::string listenPath;   // the source end listens here
  std::string connectPath;  // the destination end connects there
  std::uint16_t port;
  std::string ca;
  test::CertificateFiles source;
  test::CertificateFiles destination;
  /** Without TLS it is a plain copy. */
  bool encrypted = true;
};

/** Runs both ends in child processes; returns when the stream has ended. To be called on a thread of its own. */
void runPipe(const TlsPipe& pipe);

}  // namespace bench

#include "base/result.hpp"

#include <system_error>

namespace streamer {

const char* codeName(FailureCode code) {
  switch (code) {
    case FailureCode::peerUnreachable: return "PEER_UNREACHABLE";
    case FailureCode::peerRefused: return "PEER_REFUSED";
    case FailureCode::tlsFailed: return "TLS_FAILED";
    case FailureCode::peerNameMismatch: return "PEER_NAME_MISMATCH";
    case FailureCode::versionMismatch: return "VERSION_MISMATCH";
    case FailureCode::tokenMismatch: return "TOKEN_MISMATCH";
    case FailureCode::linkLost: return "LINK_LOST";
    case FailureCode::peerGone: return "PEER_GONE";
    case FailureCode::peerStopped: return "PEER_STOPPED";
    case FailureCode::protocolError: return "PROTOCOL_ERROR";
    case FailureCode::aborted: return "ABORTED";
    case FailureCode::localSocketFailed: return "LOCAL_SOCKET_FAILED";
    case FailureCode::timedOut: return "TIMED_OUT";
    case FailureCode::noFreePort: return "NO_FREE_PORT";
    case FailureCode::invalidConfig: return "INVALID_CONFIG";
    case FailureCode::invalidRequest: return "INVALID_REQUEST";
    case FailureCode::alreadyRunning: return "ALREADY_RUNNING";
    case FailureCode::internal: return "INTERNAL";
  }
  return "INTERNAL";
}

Error systemError(FailureCode code, std::string what, int errorNumber) {
  // generic_category().message is thread-safe, strerror is not.
  return Error{code, std::move(what) + ": " + std::generic_category().message(errorNumber)};
}

}  // namespace streamer

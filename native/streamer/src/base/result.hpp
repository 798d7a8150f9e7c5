#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace streamer {

/** Why a transfer, a lane or a request failed. The names are part of the status file's contract: add, never rename. */
enum class FailureCode {
  peerUnreachable,
  peerRefused,
  tlsFailed,
  peerNameMismatch,
  versionMismatch,
  tokenMismatch,
  linkLost,
  peerGone,
  peerStopped,
  protocolError,
  aborted,
  localSocketFailed,
  timedOut,
  noFreePort,
  invalidConfig,
  invalidRequest,
  alreadyRunning,
  internal,
};

const char* codeName(FailureCode code);

struct Error {
  FailureCode code = FailureCode::internal;
  std::string message;
};

/** A value or the reason there is none. Stands in for std::expected, which C++20 has not got. */
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const { return state_.index() == 0; }
  T& operator*() { return std::get<0>(state_); }
  T* operator->() { return &std::get<0>(state_); }
  const Error& error() const { return std::get<1>(state_); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  explicit operator bool() const { return !error_.has_value(); }
  const Error& error() const { return *error_; }

 private:
  std::optional<Error> error_;
};

/** An error whose message ends with what errno says. */
Error systemError(FailureCode code, std::string what, int errorNumber);

}  // namespace streamer

#include "net/lane.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "net/sockets.hpp"

namespace streamer {
namespace {

constexpr Duration kConnectTimeout = seconds(4);
constexpr Duration kHandshakeTimeout = seconds(10);
constexpr Duration kPingInterval = seconds(1);
constexpr Duration kSilenceLimit = seconds(5);
constexpr Duration kDrainTimeout = seconds(2);
// One round of events reads at most this much from one lane, so that the others get their turn.
constexpr std::size_t kReadBytes = 256U << 10;
constexpr int kReadsPerRound = 4;
constexpr std::size_t kJoinBytes = 1024;

std::span<std::byte> readScratch() {
  static thread_local Buffer buffer(kReadBytes);
  return buffer.space();
}

bool saysNobodyThere(int errorNumber) { return errorNumber == ECONNREFUSED || errorNumber == ECONNRESET; }

std::uint64_t nowNanos() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count());
}

}  // namespace

Lane::Lane(EventLoop& loop, LaneId id, Fd socket, bool connected, std::unique_ptr<TlsStream> tls, LaneEvents& events,
           Traffic& traffic)
    : id_(id),
      socket_(std::move(socket)),
      tls_(std::move(tls)),
      events_(events),
      traffic_(traffic),
      state_(connected ? State::handshaking : State::connecting),
      loop_(loop),
      started_(loop.now()),
      lastReceived_(loop.now()) {
  if (connected) peer_ = peerAddress(socket_.get());
  tuneLaneSocket(socket_.get());
  watch_ = EventLoop::Watch(loop, socket_.get(), connected ? EPOLLIN : EPOLLOUT,
                            [this](std::uint32_t events_now) { onEvents(events_now); });
}

void Lane::onEvents(std::uint32_t events) {
  if (state_ == State::connecting) {
    onConnected();
    return;
  }
  if ((events & EPOLLOUT) != 0) flush();
  if (state_ != State::closed && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) onReadable();
  updateEvents();
}

void Lane::onConnected() {
  const int error = socketError(socket_.get());
  if (error != 0) {
    close({systemError(FailureCode::peerUnreachable, "Cannot connect to the peer", error), false,
           saysNobodyThere(error)});
    return;
  }
  peer_ = peerAddress(socket_.get());
  state_ = State::handshaking;
  started_ = lastReceived_ = loop_.now();
  consume({});  // the client speaks first
  flush();
  updateEvents();
}

void Lane::onReadable() {
  const std::span<std::byte> scratch = readScratch();
  for (int i = 0; i < kReadsPerRound && state_ != State::closed; ++i) {
    const ssize_t got = ::recv(socket_.get(), scratch.data(), scratch.size(), 0);
    if (got < 0) {
      if (errno == EAGAIN || errno == EINTR) break;
      const int error = errno;
      close({systemError(FailureCode::linkLost, "The lane broke", error), false, saysNobodyThere(error)});
      return;
    }
    if (got == 0) {
      close({{FailureCode::linkLost, "The peer closed the lane"}, false, true});
      return;
    }
    const auto count = static_cast<std::size_t>(got);
    traffic_.received += count;
    lastReceived_ = loop_.now();
    if (state_ == State::draining) continue;
    if (!consume(scratch.first(count))) {
      // The alert that says why may still reach the peer.
      flush();
      const TlsFailure& why = tls_->failure();
      if (state_ != State::closed) close({why.error, why.final, why.error.code == FailureCode::linkLost});
      return;
    }
    if (count < scratch.size()) break;
  }
  if (state_ != State::closed) flush();
}

bool Lane::consume(std::span<const std::byte> ciphertext) {
  tls_->feed(ciphertext);
  if (state_ == State::handshaking) {
    const std::optional<bool> complete = tls_->handshake();
    if (!complete) return false;
    if (!*complete) return true;
    state_ = State::open;
    events_.laneSecured(*this);
  }
  return readFrames();
}

bool Lane::readFrames() {
  while (state_ == State::open) {
    const std::optional<std::size_t> count = tls_->read(decoder_.want());
    if (!count) return false;
    if (*count == 0) return true;
    auto frame = decoder_.filled(*count);
    if (!frame) {
      close({frame.error(), true, false});
      return true;
    }
    if (*frame) onFrame(std::move(**frame));
  }
  return true;
}

void Lane::onFrame(Frame frame) {
  if (frame.header.type == FrameType::ping) {
    FrameHeader pong;
    pong.type = FrameType::pong;
    pong.sequence = frame.header.sequence;
    // A peer that pings without reading would otherwise grow the queue for ever.
    if (tls_->output().size() < kMaxBlockBytes) send(pong, {});
    return;
  }
  if (frame.header.type == FrameType::pong) {
    const std::uint64_t now = nowNanos();
    if (now > frame.header.sequence) roundTripMicros_ = (now - frame.header.sequence) / 1000;
    return;
  }
  events_.laneFrame(*this, std::move(frame));
}

std::uint64_t Lane::send(const FrameHeader& header, std::span<const std::byte> payload) {
  if (state_ != State::open) return 0;
  const std::size_t before = tls_->output().size();
  const auto bytes = encodeHeader(header);
  bool written = false;
  if (payload.size() <= kJoinBytes) {
    // One TLS record for a small frame, not two.
    std::array<std::byte, kHeaderBytes + kJoinBytes> joined{};
    std::ranges::copy(payload, std::ranges::copy(bytes, joined.begin()).out);
    written = tls_->write(std::span(joined).first(kHeaderBytes + payload.size()));
  } else {
    written = tls_->write(bytes) && tls_->write(payload);
  }
  if (!written) {
    const TlsFailure why = tls_->failure();
    // Not from inside the caller's loop over its frames and lanes.
    loop_.defer([this, why] { close({why.error, why.final, false}); });
    return 0;
  }
  const std::size_t wireBytes = tls_->output().size() - before;
  flush();
  return wireBytes;
}

void Lane::flush() {
  while (state_ != State::closed && state_ != State::connecting && !tls_->output().empty()) {
    const std::span<const std::byte> output = tls_->output();
    const ssize_t sent = ::send(socket_.get(), output.data(), output.size(), MSG_NOSIGNAL);
    if (sent < 0) break;  // full, or broken: then the read side says so too
    traffic_.sent += static_cast<std::uint64_t>(sent);
    tls_->outputSent(static_cast<std::size_t>(sent));
  }
  if (state_ == State::draining && tls_->output().empty()) ::shutdown(socket_.get(), SHUT_WR);
  updateEvents();
}

void Lane::updateEvents() {
  if (state_ == State::closed || state_ == State::connecting) return;
  const std::uint32_t writing = tls_->output().empty() ? 0U : std::uint32_t{EPOLLOUT};
  watch_.setEvents(EPOLLIN | writing);
}

// Closing a socket with unread input resets the connection, and the reset may overtake what we said last. So say it,
// close our half, and read until the peer has closed its own.
void Lane::finish() {
  if (state_ != State::open) {
    close({{FailureCode::linkLost, "The lane was closed"}, false, false});
    return;
  }
  tls_->close();
  state_ = State::draining;
  started_ = loop_.now();
  flush();
}

void Lane::close(LaneFailure failure) {
  if (state_ == State::closed) return;
  state_ = State::closed;
  watch_.reset();
  socket_.reset();
  events_.laneClosed(*this, failure);
}

void Lane::tick(TimePoint now) {
  const auto late = [&](Duration limit) { return now - started_ > limit; };
  switch (state_) {
    case State::connecting:
      if (late(kConnectTimeout)) {
        close({{FailureCode::peerUnreachable, "The peer did not answer the connection attempt"}, false, false});
      }
      return;
    case State::handshaking:
      if (late(kHandshakeTimeout)) close({{FailureCode::tlsFailed, "The TLS handshake took too long"}, false, false});
      return;
    case State::draining:
      if (late(kDrainTimeout)) close({{FailureCode::linkLost, "The lane was closed"}, false, false});
      return;
    case State::closed: return;
    case State::open: break;
  }
  if (now - lastReceived_ > kSilenceLimit) {
    close({{FailureCode::linkLost, "No sign of life from the peer for 5 s"}, false, false});
    return;
  }
  if (now - lastPing_ < kPingInterval || !drained()) return;
  lastPing_ = now;
  FrameHeader ping;
  ping.type = FrameType::ping;
  ping.sequence = nowNanos();
  send(ping, {});
}

}  // namespace streamer

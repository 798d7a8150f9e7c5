#include "session/destination-link.hpp"

#include <openssl/crypto.h>

#include <algorithm>

#include "base/log.hpp"
#include "flow/credit.hpp"

namespace streamer {
namespace {

constexpr std::size_t kMaxLanes = 16;
// Strangers may hold this many connections while they fail to prove who they are.
constexpr std::size_t kMaxPending = 32;

}  // namespace

DestinationLink::DestinationLink(EventLoop& loop, Session& session, LinkEvents& events, LinkSettings settings,
                                 TlsContext tls, Fd listener)
    : Link(loop, session, events, std::move(settings), std::move(tls)),
      listener_(std::move(listener)),
      watch_(loop, listener_.get(), EPOLLIN, [this](std::uint32_t) { onConnection(); }),
      instance_(randomId()) {}

void DestinationLink::onConnection() {
  while (Fd socket = acceptConnection(listener_.get())) {
    const auto pending = std::ranges::count_if(lanes_, [](const auto& lane) { return !lane.second.up; });
    if (finishing_ || static_cast<std::size_t>(pending) >= kMaxPending) continue;
    add(std::move(socket), true, 0);
  }
}

void DestinationLink::refuse(Entry& entry, RefuseReason reason, const Error& error) {
  logWarn("Lane refused", {{"peer", entry.lane->peer()}, {"code", codeName(error.code)}, {"reason", error.message}});
  lastRefusal_ = error;
  const Bytes payload = encode(Refuse{reason, kVersions, error.message});
  FrameHeader header;
  header.type = FrameType::refuse;
  header.payloadLength = static_cast<std::uint32_t>(payload.size());
  entry.lane->send(header, payload);
  entry.lane->finish();
}

void DestinationLink::handshakeFrame(Entry& entry, const Frame& frame) {
  if (frame.header.type != FrameType::hello) {
    entry.lane->close({{FailureCode::protocolError, "A lane did not start with HELLO"}, false, false});
    return;
  }
  auto prefix = decodeHelloPrefix(frame.payload.view());
  if (!prefix) {
    refuse(entry, RefuseReason::malformed, prefix.error());
    return;
  }
  if (CRYPTO_memcmp(prefix->token.data(), settings_.token.data(), settings_.token.size()) != 0) {
    refuse(entry, RefuseReason::token, {FailureCode::tokenMismatch, "The token is that of another transfer"});
    return;
  }
  // Whoever knows the token is the source of this transfer, so from here on a refusal may end it on both sides.
  if (!negotiate(kVersions, prefix->versions)) {
    const Error error{FailureCode::versionMismatch,
                      "The source speaks versions " + std::to_string(prefix->versions.lowest) + " to " +
                          std::to_string(prefix->versions.highest) + ", the destination " +
                          std::to_string(kVersions.lowest) + " to " + std::to_string(kVersions.highest)};
    refuse(entry, RefuseReason::version, error);
    if (!sessionId_) fail(error);
    return;
  }
  auto hello = decodeHello(frame.payload.view());
  if (!hello) {
    refuse(entry, RefuseReason::malformed, hello.error());
    return;
  }
  if (!sessionId_ && hello->resumes) {
    const Error error{FailureCode::peerGone, "The destination was restarted and has lost the transfer"};
    refuse(entry, RefuseReason::unknownSession, error);
    fail(error);
    return;
  }
  if (sessionId_ && *sessionId_ != hello->session) {
    const Error error{FailureCode::peerGone, "The source was restarted and has lost the transfer"};
    refuse(entry, RefuseReason::otherSession, error);
    fail(error);
    return;
  }
  welcome(entry, *hello);
}

void DestinationLink::welcome(Entry& entry, const Hello& hello) {
  // The source made this lane anew because the old one is dead for it, even if that has not shown here yet.
  const auto old = std::ranges::find_if(
      lanes_, [&](const auto& lane) { return lane.second.up && lane.second.index == hello.lane; });
  if (old != lanes_.end()) {
    old->second.lane->close({{FailureCode::linkLost, "The source made the lane anew"}, false, false});
  }
  if (hello.lanes > kMaxLanes || up() >= kMaxLanes) {
    refuse(entry, RefuseReason::tooManyLanes,
           {FailureCode::peerRefused, "At most " + std::to_string(kMaxLanes) + " lanes are accepted"});
    return;
  }
  sessionId_ = hello.session;
  configured_ = hello.lanes;
  version_ = *negotiate(kVersions, hello.versions);
  entry.index = hello.lane;
  session_.setPeerBudgets(hello.bulkBudget, hello.interactiveBudget);
  const Bytes payload =
      encode(Welcome{version_, hello.session, instance_, kBulkBudgetBytes, kInteractiveBudgetBytes});
  FrameHeader header;
  header.type = FrameType::welcome;
  header.payloadLength = static_cast<std::uint32_t>(payload.size());
  entry.lane->send(header, payload);
  markUp(entry);
}

void DestinationLink::laneLost(const Entry& entry, const LaneFailure& failure) {
  if (entry.up) {
    lastClosedByPeer_ = failure.closedByPeer;
    if (failure.error.code == FailureCode::protocolError) fail(failure.error);
    return;
  }
  // Anybody can connect and say nonsense, so a failed handshake ends nothing.
  if (!lastRefusal_ || failure.final) lastRefusal_ = failure.error;
  logWarn("Connection dropped", {{"peer", entry.lane->peer()}, {"reason", failure.error.message}});
}

Error DestinationLink::lost() const {
  if (lastClosedByPeer_) {
    return {FailureCode::peerGone, "The source closed all lanes without a goodbye and did not come back"};
  }
  return {FailureCode::linkLost, "The link to the source did not come back"};
}

}  // namespace streamer

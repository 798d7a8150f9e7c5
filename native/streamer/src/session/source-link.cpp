#include "session/source-link.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "flow/credit.hpp"

namespace streamer {
namespace {

constexpr Duration kFirstDelay = milliseconds(50);
constexpr Duration kMaxDelay = seconds(1);
// The host answers, our peer's port does not: it ended. A little patience is for a firewall that is being reloaded.
constexpr Duration kRefusedMeansGone = seconds(3);

}  // namespace

SourceLink::SourceLink(EventLoop& loop, Session& session, LinkEvents& events, LinkSettings settings, TlsContext tls,
                       SourceSettings source)
    : Link(loop, session, events, std::move(settings), std::move(tls)),
      source_(std::move(source)),
      sessionId_(randomId()),
      slots_(source_.lanes),
      started_(loop.now()),
      timer_(loop, [this] { connectDue(); }) {}

void SourceLink::start() {
  started_ = loop_.now();
  connectDue();
}

void SourceLink::connectDue() {
  if (finishing_) return;
  std::optional<TimePoint> next;
  for (std::uint16_t index = 0; index < slots_.size(); ++index) {
    // The first lane makes the session, the others join it.
    if (index > 0 && !instance_) break;
    Slot& slot = slots_[index];
    if (slot.busy || slot.given_up) continue;
    if (slot.nextAttempt <= loop_.now()) connect(index);
    if (!slot.busy && (!next || slot.nextAttempt < *next)) next = slot.nextAttempt;
  }
  if (next) timer_.arm(*next);
}

void SourceLink::connect(std::uint16_t index) {
  Slot& slot = slots_[index];
  auto socket = startConnectTcp(source_.host, source_.port);
  if (!socket) {
    lastError_ = socket.error();
    slot.delay = std::clamp(slot.delay * 2, kFirstDelay, kMaxDelay);
    slot.nextAttempt = loop_.now() + slot.delay;
    refusedSince_.reset();
    return;
  }
  slot.busy = true;
  add(std::move(*socket), false, index);
}

void SourceLink::laneSecured(Lane& lane) {
  const Entry& entry = lanes_.at(lane.id());
  Hello hello;
  hello.versions = kVersions;
  hello.token = settings_.token;
  hello.session = sessionId_;
  hello.resumes = instance_.has_value();
  hello.lane = entry.index;
  hello.lanes = source_.lanes;
  hello.bulkBudget = kBulkBudgetBytes;
  hello.interactiveBudget = kInteractiveBudgetBytes;
  hello.transferId = settings_.transferId;
  const Bytes payload = encode(hello);
  FrameHeader header;
  header.type = FrameType::hello;
  header.payloadLength = static_cast<std::uint32_t>(payload.size());
  lane.send(header, payload);
}

void SourceLink::handshakeFrame(Entry& entry, const Frame& frame) {
  if (frame.header.type == FrameType::welcome) {
    welcomed(entry, frame);
  } else if (frame.header.type == FrameType::refuse) {
    refused(entry, frame);
  } else {
    entry.lane->close({{FailureCode::protocolError, "The peer answered HELLO with something else"}, true, false});
  }
}

void SourceLink::welcomed(Entry& entry, const Frame& frame) {
  auto welcome = decodeWelcome(frame.payload.view());
  if (!welcome) {
    entry.lane->close({welcome.error(), true, false});
    return;
  }
  if (welcome->session != sessionId_ || welcome->version < kVersions.lowest || welcome->version > kVersions.highest) {
    entry.lane->close({{FailureCode::protocolError, "The peer's WELCOME does not answer our HELLO"}, true, false});
    return;
  }
  if (instance_ && *instance_ != welcome->instance) {
    entry.lane->close({{FailureCode::peerGone, "The destination was restarted and has lost the transfer"}, true, false});
    return;
  }
  instance_ = welcome->instance;
  version_ = welcome->version;
  session_.setPeerBudgets(welcome->bulkBudget, welcome->interactiveBudget);
  slots_[entry.index].delay = Duration::zero();
  refusedSince_.reset();
  markUp(entry);
  connectDue();
}

void SourceLink::refused(Entry& entry, const Frame& frame) {
  auto refuse = decodeRefuse(frame.payload.view());
  if (!refuse) {
    entry.lane->close({refuse.error(), true, false});
    return;
  }
  const std::string why = "The peer refused the lane: " + refuse->text;
  switch (refuse->reason) {
    case RefuseReason::version: entry.lane->close({{FailureCode::versionMismatch, why}, true, false}); return;
    case RefuseReason::token: entry.lane->close({{FailureCode::tokenMismatch, why}, true, false}); return;
    case RefuseReason::otherSession:
    case RefuseReason::unknownSession: entry.lane->close({{FailureCode::peerGone, why}, true, false}); return;
    case RefuseReason::tooManyLanes:
      // Fewer lanes will do.
      slots_[entry.index].given_up = entry.index > 0;
      entry.lane->close({{FailureCode::peerRefused, why}, entry.index == 0, false});
      return;
    case RefuseReason::malformed:
    case RefuseReason::ending: break;
  }
  entry.lane->close({{FailureCode::peerRefused, why}, true, false});
}

void SourceLink::laneLost(const Entry& entry, const LaneFailure& failure) {
  lastError_ = failure.error;
  Slot& slot = slots_[entry.index];
  slot.busy = false;
  // The peer has accepted us before. What looks like a refusal now is more likely garbage on the wire, so try on.
  const bool doubtful = everUp_ && failure.error.code == FailureCode::tlsFailed;
  if (failure.final && !doubtful) {
    fail(failure.error);
    return;
  }
  const bool nobodyThere = failure.closedByPeer && failure.error.code == FailureCode::peerUnreachable;
  if (!nobodyThere) refusedSince_.reset();
  if (nobodyThere && !refusedSince_) refusedSince_ = loop_.now();
  slot.delay = entry.up ? kFirstDelay : std::clamp(slot.delay * 2, kFirstDelay, kMaxDelay);
  slot.nextAttempt = loop_.now() + slot.delay;
  connectDue();
}

void SourceLink::onTick() {
  if (everUp_ && up() == 0 && refusedSince_ && loop_.now() - *refusedSince_ > kRefusedMeansGone) {
    fail({FailureCode::peerGone, "The destination's process is gone: its host refuses connections to its port"});
    return;
  }
  if (!everUp_ && loop_.now() - started_ > source_.connectTimeout) {
    fail({lastError_.code == FailureCode::linkLost ? FailureCode::peerUnreachable : lastError_.code,
          "Cannot reach the destination at " + source_.host + ":" + std::to_string(source_.port) + ": " +
              lastError_.message});
    return;
  }
  connectDue();
}

Error SourceLink::lost() const {
  return {FailureCode::linkLost, "The link to the destination did not come back: " + lastError_.message};
}

}  // namespace streamer

#include "session/link.hpp"

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <vector>

#include "base/log.hpp"

namespace streamer {
namespace {

constexpr Duration kHandshakeFrameTimeout = seconds(10);

}  // namespace

SessionId randomId() {
  std::array<unsigned char, 16> bytes{};
  SessionId id{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) std::abort();  // no randomness, no security
  std::ranges::transform(bytes, id.begin(), [](unsigned char byte) { return static_cast<std::byte>(byte); });
  return id;
}

Link::Link(EventLoop& loop, Session& session, LinkEvents& events, LinkSettings settings, TlsContext tls)
    : loop_(loop), session_(session), events_(events), settings_(std::move(settings)), tls_(std::move(tls)) {}

Link::Entry& Link::add(Fd socket, bool connected, std::uint16_t index) {
  const LaneId id = nextLane_++;
  Entry entry;
  entry.lane =
      std::make_unique<Lane>(loop_, id, std::move(socket), connected, TlsStream::create(tls_), *this, traffic_);
  entry.index = index;
  entry.since = loop_.now();
  return lanes_.emplace(id, std::move(entry)).first->second;
}

void Link::markUp(Entry& entry) {
  entry.up = true;
  session_.addLane(*entry.lane);
  logInfo("Lane up", {{"lane", entry.index}, {"peer", entry.lane->peer()}});
  if (lanesLost_ > 0) {
    --lanesLost_;
    ++reconnects_;
  }
  if (downSince_) stalled_ += loop_.now() - *downSince_;
  downSince_.reset();
  everUp_ = true;
  events_.lanesChanged();
}

Duration Link::stalled() const { return downSince_ ? stalled_ + (loop_.now() - *downSince_) : stalled_; }

std::uint64_t Link::roundTripMicros() const {
  std::uint64_t least = 0;
  for (const auto& [id, entry] : lanes_) {
    const std::uint64_t micros = entry.lane->roundTripMicros();
    if (micros != 0 && (least == 0 || micros < least)) least = micros;
  }
  if (least != 0) lastRoundTrip_ = least;
  return lastRoundTrip_;
}

void Link::laneFrame(Lane& lane, Frame frame) {
  Entry& entry = lanes_.at(lane.id());
  if (!entry.up) {
    handshakeFrame(entry, frame);
  } else {
    session_.receive(std::move(frame), lane);
  }
}

void Link::laneClosed(Lane& lane, const LaneFailure& failure) {
  auto node = lanes_.extract(lane.id());
  Entry& entry = node.mapped();
  if (entry.up) {
    session_.removeLane(lane);
    if (!finishing_) {
      ++lanesLost_;
      logWarn("Lane down", {{"lane", entry.index}, {"reason", failure.error.message}});
    }
    if (session_.lanesUp() == 0) downSince_ = loop_.now();
  }
  if (!finishing_) laneLost(entry, failure);
  // The lane is still on the stack.
  loop_.defer([dead = std::make_shared<std::unique_ptr<Lane>>(std::move(entry.lane))] { dead->reset(); });
  events_.lanesChanged();
}

void Link::fail(const Error& error) {
  if (std::exchange(failed_, true)) return;
  events_.linkFailed(error);
}

void Link::tick() {
  std::vector<Lane*> lanes;  // a tick may close a lane, which changes the map
  for (auto& [id, entry] : lanes_) lanes.push_back(entry.lane.get());
  for (Lane* lane : lanes) lane->tick(loop_.now());
  if (finishing_) return;
  for (Lane* lane : lanes) {
    const auto found = lanes_.find(lane->id());
    if (found == lanes_.end() || found->second.up || loop_.now() - found->second.since < kHandshakeFrameTimeout) continue;
    lane->close({{FailureCode::tlsFailed, "The peer did not introduce itself in time"}, false, false});
  }
  if (everUp_ && downSince_ && loop_.now() - *downSince_ > settings_.reconnectTimeout) {
    fail(lost());
    return;
  }
  onTick();
}

void Link::finish() {
  finishing_ = true;
  std::vector<Lane*> lanes;
  for (auto& [id, entry] : lanes_) lanes.push_back(entry.lane.get());
  for (Lane* lane : lanes) lane->finish();
}

}  // namespace streamer

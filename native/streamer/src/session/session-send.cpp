#include <algorithm>

#include "session/session.hpp"

namespace streamer {
namespace {

constexpr std::size_t kMaxBlock = 256U << 10;
constexpr std::size_t kMinBlock = 32U << 10;
// A block should not keep a lane busy for longer: an interactive frame may have to wait for its end.
constexpr double kBlockSeconds = 0.005;
// Blocks per channel between its socket and the lanes. With the block being filled this keeps encoder and lanes busy.
constexpr std::size_t kMaxBacklog = 2;
constexpr unsigned kObservationsPerTick = 5;

}  // namespace

bool Session::aLaneCanTake() const {
  return std::ranges::any_of(lanes_, [](const Lane* lane) { return lane->canTake(); });
}

bool Session::bulkWaiting() const {
  return std::ranges::any_of(channels_, [](const auto& entry) {
    return !entry.second->interactive() && entry.second->outgoing().hasWaiting();
  });
}

bool Session::bulkMoving() const { return bulk_.credit.used() > 0; }

std::size_t Session::blockLimit(const Channel& channel) const {
  std::uint64_t rate = channel.window().rate();
  if (bucket_.rate() != 0 && (rate == 0 || bucket_.rate() < rate)) rate = bucket_.rate();
  if (rate == 0) return kMaxBlock;
  // Raw bytes: what compression saves makes the block shorter on the wire.
  const double ratio = totals_.compressionOut == 0 ? 1.0
                                                   : static_cast<double>(totals_.compressionIn) /
                                                         static_cast<double>(totals_.compressionOut);
  const auto bytes = static_cast<std::size_t>(static_cast<double>(rate) * kBlockSeconds * std::min(ratio, 4.0));
  return std::clamp(bytes, kMinBlock, kMaxBlock);
}

std::size_t Session::readAllowance(const Channel& channel, std::size_t blockBytes) {
  const CreditPool& credit = budgetOf(channel).credit;
  const std::uint64_t headroom = credit.headroom(channel.heldCredit());
  if (headroom <= kFrameCost) return 0;
  const SendStream& outgoing = channel.outgoing();
  std::size_t limit = kMaxBlock;
  if (!channel.interactive()) {
    if (outgoing.waitingCount() + outgoing.preparingCount() >= kMaxBacklog && blockBytes == 0) {
      // Reading ahead of a full backlog is only worth it to fill the next block meanwhile.
      if (outgoing.waitingCount() > 0) return 0;
    }
    limit = blockLimit(channel);
  }
  if (blockBytes >= limit) return 0;
  return std::min<std::size_t>(limit - blockBytes, static_cast<std::size_t>(headroom - kFrameCost));
}

CompressionPolicy::Verdict Session::judge(Channel& channel, std::size_t bytes) {
  const bool hungry = aLaneCanTake() && !bulkWaiting() && channel.bytesOnWire() < channel.window().limitBytes() / 2 &&
                      bucket_.mayStart(loop_.now());
  // While the lanes are the bottleneck, blocks that wait in the channel can still grow.
  if (channel.outgoing().waitingCount() >= kMaxBacklog) return CompressionPolicy::Verdict::wait;
  return policy_.judge(channel.compression(), bytes, encoder_.full(), hungry, loop_.now());
}

void Session::bulkDelivered(std::uint64_t wireBytes, bool limited) {
  path_.delivered(wireBytes, limited, loop_.now());
}

bool Session::sendAck(Lane& lane) {
  FrameHeader header;
  header.type = FrameType::ack;
  if (!finalAcks_.empty()) {
    const auto first = finalAcks_.begin();
    header.channel = first->first;
    header.sequence = first->second;
    finalAcks_.erase(first);
    lane.send(header, {});
    return true;
  }
  for (auto& [id, channel] : channels_) {
    const auto ack = channel->takeAck();
    if (!ack) continue;
    header.channel = id;
    header.sequence = *ack;
    lane.send(header, {});
    return true;
  }
  return false;
}

// Round robin: the first candidate behind the one served last.
Channel* Session::chooseChannel(Priority priority, bool bandwidthLeft) {
  const std::uint32_t last = lastServed_[static_cast<std::size_t>(priority)];
  Channel* chosen = nullptr;
  for (auto& [id, channel] : channels_) {
    if (channel->service().priority != priority || !channel->outgoing().hasWaiting()) continue;
    // Frames that carry no data are never held back: an END or RESET frees more than it takes.
    if (priority == Priority::bulk && channel->outgoing().nextWaiting()->header.type == FrameType::data) {
      const bool windowLeft =
          channel->bytesOnWire() < channel->window().limitBytes() || channel->outgoing().nextFillsGap();
      windowLimited_ = windowLimited_ || !windowLeft;
      linkLimited_ = linkLimited_ || !bandwidthLeft;
      if (!windowLeft || !bandwidthLeft) {
        channel->noteLimited();
        continue;
      }
    }
    if (chosen == nullptr || (chosen->id() <= last && id > last)) chosen = channel.get();
  }
  return chosen;
}

bool Session::sendFrom(Priority priority, Lane& lane) {
  const bool bandwidthLeft = priority == Priority::interactive || bucket_.mayStart(loop_.now());
  Channel* channel = chooseChannel(priority, bandwidthLeft);
  if (channel == nullptr) {
    if (!bandwidthLeft && !bucketTimer_.armed()) bucketTimer_.arm(loop_.now() + bucket_.waitTime(loop_.now()));
    return false;
  }
  lastServed_[static_cast<std::size_t>(priority)] = channel->id();
  const auto next = channel->outgoing().nextWaiting();
  FrameHeader header = next->header;
  header.channel = channel->id();
  const std::uint64_t wireBytes = lane.send(header, next->payload);
  bucket_.spend(wireBytes, loop_.now());
  channel->frameSent(lane.id(), wireBytes, header);
  return true;
}

bool Session::pump() {
  if (lanes_.empty()) return false;
  bool bulkSent = false;
  bool sentAny = true;
  while (sentAny) {
    sentAny = false;
    for (std::size_t i = 0; i < lanes_.size(); ++i) {
      Lane& lane = *lanes_[(firstLane_ + i) % lanes_.size()];
      if (!lane.canTake()) continue;
      if (sendAck(lane) || sendFrom(Priority::interactive, lane)) {
        sentAny = true;
      } else if (sendFrom(Priority::bulk, lane)) {
        sentAny = bulkSent = true;
      }
    }
    ++firstLane_;
  }
  if (!aLaneCanTake()) {
    for (auto& [id, channel] : channels_) {
      if (channel->interactive() || !channel->outgoing().hasWaiting()) continue;
      channel->noteLimited();
      linkLimited_ = true;
    }
  }
  return bulkSent;
}

void Session::observeLink() {
  std::uint64_t inKernel = 0;
  std::uint32_t roundTrip = 0;
  for (const Lane* lane : lanes_) {
    inKernel += unacknowledgedBytes(lane->socket());
    const std::uint32_t micros = minRoundTripMicros(lane->socket());
    if (micros != 0 && (roundTrip == 0 || micros < roundTrip)) roundTrip = micros;
  }
  std::uint64_t onWire = 0;
  for (auto& [id, channel] : channels_) {
    onWire += channel->bytesOnWire();
    if (roundTrip != 0) channel->window().setRoundTrip(microseconds(roundTrip));
  }
  // A full window means a slow link only if most of it has not reached the peer; else its local socket is slow.
  const bool saturated = linkLimited_ || (windowLimited_ && inKernel > onWire / 2);
  linkLimited_ = windowLimited_ = false;
  ++observations_;
  if (saturated) ++saturatedObservations_;
  if (observations_ < kObservationsPerTick) return;
  policy_.observeLink(static_cast<double>(saturatedObservations_) / static_cast<double>(observations_), path_.rate());
  observations_ = saturatedObservations_ = 0;
}

void Session::setBandwidth(std::uint64_t bytesPerSecond) {
  bucket_.setRate(bytesPerSecond, loop_.now());
  bucketTimer_.disarm();
}

void Session::sayGoodbye(const Goodbye& goodbye) {
  const Bytes payload = encode(goodbye);
  FrameHeader header;
  header.type = FrameType::goodbye;
  header.payloadLength = static_cast<std::uint32_t>(payload.size());
  for (Lane* lane : lanes_) lane->send(header, payload);
}

}  // namespace streamer

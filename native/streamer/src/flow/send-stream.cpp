#include "flow/send-stream.hpp"

#include <algorithm>

#include "flow/credit.hpp"

namespace streamer {

SendStream::Entry* SendStream::find(std::uint64_t sequence) {
  if (sequence < base_ || sequence - base_ >= frames_.size()) return nullptr;
  return &frames_[static_cast<std::size_t>(sequence - base_)];
}

std::uint64_t SendStream::append(FrameType type, std::uint32_t rawLength) {
  Entry entry;
  entry.header.type = type;
  entry.header.rawLength = rawLength;
  entry.header.sequence = base_ + frames_.size();
  entry.cost = frameCost(rawLength);
  cost_ += entry.cost;
  ++preparing_;
  const std::uint64_t sequence = entry.header.sequence;
  frames_.push_back(std::move(entry));
  return sequence;
}

void SendStream::ready(std::uint64_t sequence, Codec codec, Buffer payload) {
  Entry* entry = find(sequence);
  if (entry == nullptr || entry->state != State::preparing) return;
  entry->header.codec = codec;
  entry->header.payloadLength = static_cast<std::uint32_t>(payload.size());
  entry->payload = std::move(payload);
  entry->state = State::waiting;
  --preparing_;
  waiting_.insert(sequence);
}

std::optional<SendStream::Outgoing> SendStream::nextWaiting() const {
  if (waiting_.empty()) return std::nullopt;
  const Entry& entry = frames_[static_cast<std::size_t>(*waiting_.begin() - base_)];
  return Outgoing{entry.header, entry.payload.view()};
}

void SendStream::sent(LaneId lane, std::uint64_t wireBytes) {
  if (waiting_.empty()) return;
  Entry& entry = frames_[static_cast<std::size_t>(*waiting_.begin() - base_)];
  entry.state = State::onWire;
  entry.lane = lane;
  entry.wireBytes = wireBytes;
  sentBefore_ = std::max(sentBefore_, entry.header.sequence + 1);
  waiting_.erase(waiting_.begin());
}

std::uint64_t SendStream::laneLost(LaneId lane) {
  std::uint64_t lost = 0;
  for (Entry& entry : frames_) {
    if (entry.state != State::onWire || entry.lane != lane) continue;
    entry.state = State::waiting;
    lost += entry.wireBytes;
    waiting_.insert(entry.header.sequence);
  }
  return lost;
}

Result<SendStream::Freed> SendStream::acknowledge(std::uint64_t nextWanted) {
  Freed freed;
  if (nextWanted <= base_) return freed;  // an old one, overtaken on another lane
  if (nextWanted - base_ > frames_.size()) {
    return Error{FailureCode::protocolError, "The peer acknowledged frames that were never sent"};
  }
  while (base_ < nextWanted) {
    Entry& entry = frames_.front();
    // Preparing frames were never on a wire. Waiting ones may have been, on a lane that was lost since.
    if (entry.state == State::preparing) {
      return Error{FailureCode::protocolError, "The peer acknowledged frames that were never sent"};
    }
    if (entry.state == State::onWire) freed.wireBytes += entry.wireBytes;
    if (entry.state == State::waiting) waiting_.erase(base_);
    freed.cost += entry.cost;
    cost_ -= entry.cost;
    frames_.pop_front();
    ++base_;
  }
  return freed;
}

SendStream::Freed SendStream::clear() {
  Freed freed;
  freed.cost = cost_;
  for (const Entry& entry : frames_) {
    if (entry.state == State::onWire) freed.wireBytes += entry.wireBytes;
  }
  base_ += frames_.size();
  frames_.clear();
  waiting_.clear();
  preparing_ = 0;
  cost_ = 0;
  return freed;
}

std::uint64_t SendStream::endWith(FrameType type, Buffer payload) {
  const Freed dropped = clear();
  const std::uint64_t sequence = append(type, 0);
  frames_.front().cost += dropped.cost;
  cost_ += dropped.cost;
  ready(sequence, Codec::none, std::move(payload));
  return dropped.wireBytes;
}

}  // namespace streamer

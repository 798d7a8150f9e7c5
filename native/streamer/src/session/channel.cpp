#include "session/channel.hpp"

#include <sys/socket.h>

#include <cerrno>

#include "base/bytes.hpp"
#include "base/log.hpp"
#include "flow/credit.hpp"

namespace streamer {
namespace {

// libvirt's messages are small; a block of their own size is made from this.
constexpr std::size_t kScratchBytes = 64U << 10;

std::string payloadText(const Frame& frame) {
  std::string text;
  ByteReader(frame.payload.view()).readText(text, frame.payload.size());
  return text;
}

}  // namespace

Channel::Channel(ChannelHost& host, EventLoop& loop, std::uint32_t id, const Service& service)
    : host_(host), loop_(loop), id_(id), service_(service) {
  counters_.openedAtMs = wallClockMs();
}

void Channel::attach(Fd local) {
  local_ = std::move(local);
  watch_ = EventLoop::Watch(loop_, local_.get(), EPOLLIN, [this](std::uint32_t events) { onLocal(events); });
}

void Channel::appendFrame(FrameType type, Buffer payload) {
  const std::uint64_t sequence = outgoing_.append(type, 0);
  host_.creditTaken(*this, frameCost(0));
  outgoing_.ready(sequence, Codec::none, std::move(payload));
}

void Channel::open(Fd local) {
  opener_ = true;
  ByteWriter payload;
  payload.write(static_cast<std::uint8_t>(service_.priority));
  payload.writeText(service_.name);
  appendFrame(FrameType::open, Buffer::copyOf(payload.view()));
  // Data may follow at once: the peer keeps it until its own socket is connected, which saves a round trip.
  attach(std::move(local));
}

void Channel::accept(Fd local) {
  state_ = State::open;
  appendFrame(FrameType::openOk, Buffer());
  attach(std::move(local));
}

void Channel::refuse(const std::string& reason) { endBy(FrameType::openRefused, reason); }
void Channel::reset(const std::string& reason) { endBy(FrameType::reset, reason); }

void Channel::endBy(FrameType type, const std::string& reason) {
  if (over() || state_ == State::resetting) return;
  logWarn("Channel reset", {{"channel", id_}, {"service", service_.name}, {"reason", reason}});
  watch_.reset();
  local_.reset();
  host_.receiveBudgetFreed(*this, incoming_.clear());
  if (blockCost_ != 0) host_.creditFreed(*this, std::exchange(blockCost_, 0));
  block_ = Buffer();
  const std::string_view text = std::string_view(reason).substr(0, kMaxTextBytes);
  leftWire(outgoing_.endWith(type, Buffer::copyOf(asBytes(text))));
  host_.creditTaken(*this, frameCost(0));
  state_ = State::resetting;
}

void Channel::drop() {
  if (!over()) finish(State::reset);
}

void Channel::finish(State state) {
  watch_.reset();
  local_.reset();
  host_.receiveBudgetFreed(*this, incoming_.clear());
  if (blockCost_ != 0) host_.creditFreed(*this, std::exchange(blockCost_, 0));
  block_ = Buffer();
  const SendStream::Freed dropped = outgoing_.clear();
  leftWire(dropped.wireBytes);
  host_.creditFreed(*this, dropped.cost);
  counters_.closedAtMs = wallClockMs();
  state_ = state;
}

Result<void> Channel::receive(Frame frame) {
  if (over()) return {};
  const FrameType type = frame.header.type;
  if (type == FrameType::reset || type == FrameType::openRefused) {
    logWarn("Channel ended by the peer", {{"channel", id_}, {"service", service_.name}, {"reason", payloadText(frame)}});
    finish(State::reset);
    return {};
  }
  ackDue_ = true;
  // What was on its way when we reset is of no use, and the peer drops it as soon as our RESET is there.
  if (state_ == State::resetting) return {};
  const std::uint64_t cost = frameCost(frame.header.rawLength);
  auto taken = incoming_.accept(std::move(frame));
  if (!taken) return taken.error();
  if (*taken == ReceiveStream::Taken::duplicate) return {};
  if (!host_.receiveBudgetTaken(*this, cost)) {
    return Error{FailureCode::protocolError, "The peer sent more than its receive budget"};
  }
  return deliver();
}

Result<void> Channel::deliver() {
  while (Frame* head = incoming_.head()) {
    const std::uint64_t sequence = head->header.sequence;
    switch (head->header.type) {
      case FrameType::open:
      case FrameType::openOk:
        if (auto first = checkOpening(head->header); !first) return first;
        break;
      case FrameType::data: {
        if (sequence == 0 || peerEnded_) return Error{FailureCode::protocolError, "The peer sent data out of place"};
        if (!local_) return {};  // still connecting
        auto complete = deliverData(*head);
        if (!complete) return complete.error();
        if (!*complete || state_ == State::resetting) return {};
        break;
      }
      case FrameType::end:
        if (sequence == 0 || peerEnded_) return Error{FailureCode::protocolError, "The peer ended a channel twice"};
        if (!local_) return {};
        ::shutdown(local_.get(), SHUT_WR);
        peerEnded_ = true;
        break;
      default: return Error{FailureCode::protocolError, "The peer sent a frame that has no place in a channel"};
    }
    host_.receiveBudgetFreed(*this, incoming_.pop());
    ackDue_ = true;
  }
  maybeClose();
  return {};
}

Result<bool> Channel::deliverData(Frame& frame) {
  if (frame.header.codec != Codec::none && !decoded_) {
    auto raw = host_.decompress(frame);
    if (!raw) return raw.error();
    decoded_ = std::move(*raw);
    frame.payload = Buffer();
  }
  const std::span<const std::byte> content = decoded_ ? decoded_->view() : frame.payload.view();
  while (writtenOfHead_ < content.size()) {
    const auto rest = content.subspan(writtenOfHead_);
    const ssize_t sent = ::send(local_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) {
        writeBlocked_ = true;
        updateEvents();
        return false;
      }
      reset(systemError(FailureCode::localSocketFailed, "Cannot write to the local socket", errno).message);
      return false;
    }
    const auto count = static_cast<std::size_t>(sent);
    writtenOfHead_ += count;
    counters_.rawReceived += count;
    host_.countRaw(*this, 0, count);
  }
  writeBlocked_ = false;
  writtenOfHead_ = 0;
  decoded_.reset();
  return true;
}

Result<void> Channel::checkOpening(const FrameHeader& header) {
  const FrameType expected = opener_ ? FrameType::openOk : FrameType::open;
  if (header.sequence != 0 || header.type != expected) {
    return Error{FailureCode::protocolError, "The peer opened a channel out of place"};
  }
  if (opener_) state_ = State::open;
  return {};
}

void Channel::onLocal(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) writeBlocked_ = false;
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) readable_ = true;
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
    // Said again and again, even to who asked for nothing. From here on reads and writes no longer block, so advance()
    // sees the rest of the connection without being told.
    writeBlocked_ = false;
    watch_.reset();
  }
  if (auto done = advance(); !done) fault_ = done.error();
}

bool Channel::wantsRead() const {
  const bool blockFull = block_.size() > 0 && block_.full();
  return local_ && !endDue_ && !blockFull && state_ != State::resetting && !over() &&
         host_.readAllowance(*this, block_.size()) > 0;
}

void Channel::readLocal() {
  while (readable_ && wantsRead()) {
    const std::size_t allowance = host_.readAllowance(*this, block_.size());
    static thread_local Buffer scratch(kScratchBytes);
    const bool direct = !interactive();
    if (direct && block_.capacity() == 0) block_ = Buffer(allowance);
    std::span<std::byte> space = direct ? block_.space() : scratch.space();
    space = space.first(std::min(space.size(), allowance));
    if (space.empty()) break;
    const ssize_t got = ::recv(local_.get(), space.data(), space.size(), 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      readable_ = false;
      if (errno != EAGAIN) {
        reset(systemError(FailureCode::localSocketFailed, "Cannot read from the local socket", errno).message);
      }
      break;
    }
    if (got == 0) {
      endDue_ = true;
      break;
    }
    const auto count = static_cast<std::size_t>(got);
    counters_.rawSent += count;
    host_.countRaw(*this, count, 0);
    const std::uint64_t cost = count + (block_.size() == 0 ? kFrameCost : 0);
    blockCost_ += cost;
    host_.creditTaken(*this, cost);
    if (direct) {
      block_.filled(count);
    } else {
      block_ = Buffer::copyOf(space.first(count));
    }
    handOver();
  }
  handOver();
}

void Channel::handOver() {
  if (state_ == State::resetting || over()) return;
  if (block_.size() > 0) {
    const std::size_t size = block_.size();
    const auto verdict = interactive() ? CompressionPolicy::Verdict::raw : host_.judge(*this, size);
    if (verdict == CompressionPolicy::Verdict::wait) return;
    const std::uint64_t sequence = outgoing_.append(FrameType::data, static_cast<std::uint32_t>(size));
    blockCost_ = 0;  // append() counts it from here on
    Buffer raw = std::exchange(block_, Buffer());
    if (verdict == CompressionPolicy::Verdict::compress) {
      host_.compress(*this, sequence, std::move(raw));
    } else {
      if (!interactive()) host_.skippedCompression(size);
      raw.compact();
      outgoing_.ready(sequence, Codec::none, std::move(raw));
    }
  }
  if (endDue_ && !localEnded_) {
    localEnded_ = true;
    appendFrame(FrameType::end, Buffer());
  }
}

void Channel::encoded(std::uint64_t sequence, Codec codec, Buffer payload) {
  if (!over() && state_ != State::resetting) outgoing_.ready(sequence, codec, std::move(payload));
}

Result<void> Channel::acknowledged(std::uint64_t nextWanted) {
  if (over()) return {};
  auto freed = outgoing_.acknowledge(nextWanted);
  if (!freed) return freed.error();
  host_.creditFreed(*this, freed->cost);
  if (!interactive() && freed->wireBytes > 0) {
    leftWire(freed->wireBytes);
    const bool limited = std::exchange(limited_, false);
    window_.delivered(freed->wireBytes, limited, loop_.now());
    host_.bulkDelivered(freed->wireBytes, limited);
  }
  if (state_ == State::resetting && outgoing_.allAcknowledged()) finish(State::reset);
  maybeClose();
  return {};
}

void Channel::maybeClose() {
  if (state_ == State::open && localEnded_ && peerEnded_ && outgoing_.allAcknowledged()) finish(State::closed);
}

Result<void> Channel::advance() {
  if (over()) return {};
  if (local_) readLocal();
  if (!writeBlocked_) {
    if (auto done = deliver(); !done) return done;
  }
  updateEvents();
  return {};
}

void Channel::updateEvents() {
  if (!local_) return;
  const std::uint32_t reading = wantsRead() ? std::uint32_t{EPOLLIN} : 0U;
  const std::uint32_t writing = writeBlocked_ ? std::uint32_t{EPOLLOUT} : 0U;
  watch_.setEvents(reading | writing);
}

void Channel::frameSent(LaneId lane, std::uint64_t wireBytes, const FrameHeader& header) {
  outgoing_.sent(lane, wireBytes);
  if (!interactive()) onWire_ += wireBytes;
  counters_.wirePayloadSent += header.payloadLength;
}

void Channel::laneLost(LaneId lane) {
  leftWire(outgoing_.laneLost(lane));
  ackDue_ = true;
}

std::optional<std::uint64_t> Channel::takeAck() {
  if (!std::exchange(ackDue_, false)) return std::nullopt;
  return incoming_.nextWanted();
}

}  // namespace streamer

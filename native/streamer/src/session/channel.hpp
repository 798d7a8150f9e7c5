#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "codec/compression-policy.hpp"
#include "flow/inflight-window.hpp"
#include "flow/receive-stream.hpp"
#include "flow/send-stream.hpp"
#include "net/event-loop.hpp"
#include "session/service.hpp"

namespace streamer {

class Channel;

/** What a channel needs from the session around it. */
class ChannelHost {
 public:
  virtual ~ChannelHost() = default;
  /** How many more bytes the channel may read from its local socket into a block that holds `blockBytes` so far. */
  virtual std::size_t readAllowance(const Channel& channel, std::size_t blockBytes) = 0;
  virtual void creditTaken(const Channel& channel, std::uint64_t cost) = 0;
  virtual void creditFreed(const Channel& channel, std::uint64_t cost) = 0;
  /** The receive budget of this process, which the peer must respect. */
  virtual bool receiveBudgetTaken(const Channel& channel, std::uint64_t cost) = 0;
  virtual void receiveBudgetFreed(const Channel& channel, std::uint64_t cost) = 0;
  /** The peer's local socket consumed bytes of bulk. */
  virtual void bulkDelivered(std::uint64_t wireBytes, bool limited) = 0;
  virtual CompressionPolicy::Verdict judge(Channel& channel, std::size_t bytes) = 0;
  virtual void compress(Channel& channel, std::uint64_t sequence, Buffer raw) = 0;
  virtual void skippedCompression(std::size_t bytes) = 0;
  virtual Result<Buffer> decompress(const Frame& frame) = 0;
  virtual void countRaw(const Channel& channel, std::uint64_t sent, std::uint64_t received) = 0;
};

/**
 * One relayed connection: a local unix socket on one side, two numbered streams of frames on the other.
 *
 *            local ──read──▶ block ──(encoder)──▶ SendStream ──▶ lanes
 *            local ◀─write── ReceiveStream ◀── lanes
 *
 *   opening ──▶ open ──▶ closed    both directions ended and acknowledged
 *      │          └────▶ resetting ──▶ reset   our RESET waits for its ACK
 *      └──────────────▶ reset        refused, or the peer's RESET
 */
class Channel {
 public:
  enum class State { opening, open, resetting, closed, reset };

  struct Counters {
    std::uint64_t rawSent = 0;
    std::uint64_t rawReceived = 0;
    std::uint64_t wirePayloadSent = 0;
    std::int64_t openedAtMs = 0;
    std::int64_t closedAtMs = 0;
  };

  Channel(ChannelHost& host, EventLoop& loop, std::uint32_t id, const Service& service);

  std::uint32_t id() const { return id_; }
  const Service& service() const { return service_; }
  State state() const { return state_; }
  bool over() const { return state_ == State::closed || state_ == State::reset; }
  const Counters& counters() const { return counters_; }
  CompressionPolicy::Channel& compression() { return compression_; }
  // Each channel has its own window, or one whose reader stalls would fill it for all.
  InflightWindow& window() { return window_; }
  const InflightWindow& window() const { return window_; }
  std::uint64_t bytesOnWire() const { return onWire_; }
  /** Remembers that the window, the lanes or the bandwidth kept the channel from sending. */
  void noteLimited() { limited_ = true; }
  bool interactive() const { return service_.priority == Priority::interactive; }

  /** This side opens the channel for a connection its listener got. */
  void open(Fd local);
  /** This side was asked to open and reached the service. */
  void accept(Fd local);
  /** This side was asked to open and could not. */
  void refuse(const std::string& reason);
  /** Ends the channel from this side. */
  void reset(const std::string& reason);
  /** Ends it without telling the peer, who knows or is gone. */
  void drop();

  /** A numbered frame of the peer. An error is a breach of the protocol and ends the transfer. */
  Result<void> receive(Frame frame);
  Result<void> acknowledged(std::uint64_t nextWanted);
  void encoded(std::uint64_t sequence, Codec codec, Buffer payload);

  /** Goes on with whatever became possible: writing, reading, handing blocks over. */
  Result<void> advance();

  SendStream& outgoing() { return outgoing_; }
  const SendStream& outgoing() const { return outgoing_; }
  void frameSent(LaneId lane, std::uint64_t wireBytes, const FrameHeader& header);
  /** What the lane carried must go again; so must the acknowledgement that may have been lost with it. */
  void laneLost(LaneId lane);

  /** The acknowledgement that is due, if one is. */
  std::optional<std::uint64_t> takeAck();
  /** Bytes read from the local socket that are not in a frame yet. */
  std::size_t blockBytes() const { return block_.size(); }
  std::uint64_t heldCredit() const { return outgoing_.cost() + blockCost_; }
  /** A failure of the hostile kind found while handling a local event. */
  std::optional<Error> takeFault() { return std::exchange(fault_, std::nullopt); }

 private:
  void attach(Fd local);
  void onLocal(std::uint32_t events);
  void readLocal();
  void handOver();
  void appendFrame(FrameType type, Buffer payload);
  Result<void> deliver();
  Result<bool> deliverData(Frame& frame);
  void endBy(FrameType type, const std::string& reason);
  void finish(State state);
  void leftWire(std::uint64_t bytes) { onWire_ -= std::min(bytes, onWire_); }
  void maybeClose();
  void updateEvents();
  bool wantsRead() const;
  Result<void> checkOpening(const FrameHeader& header);

  ChannelHost& host_;
  EventLoop& loop_;
  std::uint32_t id_;
  Service service_;
  State state_ = State::opening;
  Counters counters_;
  CompressionPolicy::Channel compression_;

  Fd local_;
  EventLoop::Watch watch_;
  bool localEnded_ = false;  // our socket said EOF, END is queued
  bool endDue_ = false;      // EOF seen, but the last block is still to be handed over
  bool peerEnded_ = false;
  bool writeBlocked_ = false;
  bool readable_ = false;
  bool opener_ = false;

  SendStream outgoing_;
  InflightWindow window_;
  std::uint64_t onWire_ = 0;
  bool limited_ = false;
  Buffer block_;
  std::uint64_t blockCost_ = 0;

  ReceiveStream incoming_;
  std::optional<Buffer> decoded_;  // the head's content, if it had to be decompressed
  std::size_t writtenOfHead_ = 0;
  bool ackDue_ = false;
  std::optional<Error> fault_;
};

}  // namespace streamer

#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "codec/compression-policy.hpp"
#include "codec/encoder.hpp"
#include "codec/zstd-codec.hpp"
#include "flow/credit.hpp"
#include "flow/inflight-window.hpp"
#include "flow/token-bucket.hpp"
#include "net/lane.hpp"
#include "session/channel.hpp"
#include "session/finished-channels.hpp"
#include "session/service-opener.hpp"
#include "wire/handshake.hpp"

namespace streamer {

class SessionEvents {
 public:
  virtual ~SessionEvents() = default;
  /** The peer broke the protocol; the transfer cannot go on. */
  virtual void sessionBroken(const Error& error) = 0;
  virtual void peerSaidGoodbye(const Goodbye& goodbye) = 0;
  virtual void channelsChanged() = 0;
};

struct SessionSettings {
  std::vector<Service> services;
  CompressionSettings compression;
  std::uint64_t bandwidthBytesPerSecond = 0;
  Duration serviceTimeout = seconds(2);
  /** The destination's side: the peer opens channels, we connect to services. */
  bool acceptsChannels = false;
};

struct ServiceTotals {
  std::uint64_t channels = 0;
  std::uint64_t rawSent = 0;
  std::uint64_t rawReceived = 0;
};

struct ClosedChannel {
  std::uint32_t id = 0;
  std::string service;
  Channel::State state = Channel::State::closed;
  Channel::Counters counters;
};

struct SessionTotals {
  std::uint64_t rawSent = 0;
  std::uint64_t rawReceived = 0;
  std::uint64_t compressionIn = 0;
  std::uint64_t compressionOut = 0;
  std::uint64_t compressionSkipped = 0;
  std::uint64_t channelsOpened = 0;
};

/** All channels over all lanes: who may send what next, and what the peer's frames mean. */
class Session final : public ChannelHost {
 public:
  Session(EventLoop& loop, SessionSettings settings, SessionEvents& events);

  /** The peer's budgets, from its HELLO or WELCOME. */
  void setPeerBudgets(std::uint32_t bulk, std::uint32_t interactive);
  void addLane(Lane& lane) { lanes_.push_back(&lane); }
  /** The lane broke: what it carried goes again on the others. */
  void removeLane(const Lane& lane);
  std::size_t lanesUp() const { return lanes_.size(); }

  /** A local program connected to a service. Refused by closing when too many channels are open. */
  void openChannel(const Service& service, Fd local);
  void receive(Frame frame, Lane& lane);
  /** Sends what may be sent. Called after every round of events. */
  void advance();
  /** To be called about every 20 ms while bulk moves. */
  void observeLink();
  bool bulkMoving() const;

  /** Resets every channel. */
  void resetAll(const std::string& reason);
  /** Ends every channel here without telling the peer. */
  void dropAll();
  void sayGoodbye(const Goodbye& goodbye);

  void setBandwidth(std::uint64_t bytesPerSecond);
  std::uint64_t bandwidth() const { return bucket_.rate(); }
  void setCompression(CompressionSettings settings) { policy_.set(settings); }
  const CompressionSettings& compression() const { return policy_.settings(); }
  bool compressionSteppedAside() const { return policy_.steppedAside(); }

  std::size_t openChannels() const { return channels_.size(); }
  const std::map<std::uint32_t, std::unique_ptr<Channel>>& channels() const { return channels_; }
  const std::deque<ClosedChannel>& closedChannels() const { return closed_; }
  const std::map<std::string, ServiceTotals>& serviceTotals() const { return serviceTotals_; }
  const SessionTotals& totals() const { return totals_; }

 private:
  struct Budget {
    explicit Budget(std::uint64_t size) : credit(size), receiveLimit(size) {}
    CreditPool credit;           // of the peer's memory
    std::uint64_t receiveLimit;  // of ours
    std::uint64_t received = 0;
  };

  // ChannelHost
  std::size_t readAllowance(const Channel& channel, std::size_t blockBytes) override;
  void creditTaken(const Channel& channel, std::uint64_t cost) override;
  void creditFreed(const Channel& channel, std::uint64_t cost) override;
  bool receiveBudgetTaken(const Channel& channel, std::uint64_t cost) override;
  void receiveBudgetFreed(const Channel& channel, std::uint64_t cost) override;
  void bulkDelivered(std::uint64_t wireBytes, bool limited) override;
  CompressionPolicy::Verdict judge(Channel& channel, std::size_t bytes) override;
  void compress(Channel& channel, std::uint64_t sequence, Buffer raw) override;
  void skippedCompression(std::size_t bytes) override { totals_.compressionSkipped += bytes; }
  Result<Buffer> decompress(const Frame& frame) override;
  void countRaw(const Channel& channel, std::uint64_t sent, std::uint64_t received) override;

  Budget& budgetOf(const Channel& channel) { return channel.interactive() ? interactive_ : bulk_; }
  const Service* findService(const std::string& name) const;
  Result<void> receiveReliable(Frame frame);
  Result<void> openByPeer(Frame frame);
  Result<void> receiveEarly(Frame frame);
  Result<void> takeEarly(std::uint32_t id);
  void takeEncoded();
  void reap();
  void noteClosed(const Channel& channel);
  void fail(const Error& error);

  // Sending (session-send.cpp)
  /** Returns whether bulk went out. */
  bool pump();
  bool sendAck(Lane& lane);
  bool sendFrom(Priority priority, Lane& lane);
  Channel* chooseChannel(Priority priority, bool bandwidthLeft);
  bool bulkWaiting() const;
  bool aLaneCanTake() const;
  std::size_t blockLimit(const Channel& channel) const;

  EventLoop& loop_;
  SessionSettings settings_;
  SessionEvents& events_;
  Budget bulk_{kBulkBudgetBytes};
  Budget interactive_{kInteractiveBudgetBytes};
  std::vector<Lane*> lanes_;
  std::map<std::uint32_t, std::unique_ptr<Channel>> channels_;
  std::uint32_t nextChannel_ = 1;
  FinishedChannels finished_;
  std::map<std::uint32_t, std::uint64_t> finalAcks_;
  // Frames that overtook their OPEN on another lane.
  std::map<std::uint32_t, std::vector<Frame>> early_;
  std::uint64_t earlyCost_ = 0;
  std::deque<ClosedChannel> closed_;
  std::map<std::string, ServiceTotals> serviceTotals_;
  SessionTotals totals_;

  TokenBucket bucket_;
  InflightWindow path_;  // of all bulk together, for its rate
  CompressionPolicy policy_;
  ZstdDecoder decoder_;
  Encoder encoder_;
  EventLoop::Watch encoderWatch_;
  EventLoop::Timer bucketTimer_;
  ServiceOpener opener_;

  std::uint32_t lastServed_[2] = {0, 0};
  std::size_t firstLane_ = 0;
  bool linkLimited_ = false;   // lanes or bandwidth held bulk back since the last observation
  bool windowLimited_ = false;
  unsigned observations_ = 0;
  unsigned saturatedObservations_ = 0;
  bool broken_ = false;
};

}  // namespace streamer

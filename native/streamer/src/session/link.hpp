#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "net/lane.hpp"
#include "session/session.hpp"

namespace streamer {

class LinkEvents {
 public:
  virtual ~LinkEvents() = default;
  /** A lane came up or went down. */
  virtual void lanesChanged() = 0;
  /** There is no hope left; called once. */
  virtual void linkFailed(const Error& error) = 0;
};

struct LinkSettings {
  Token token{};
  std::string transferId;
  Duration reconnectTimeout = seconds(60);
};

/** The lanes of one side: makes or takes them, shakes hands, and judges for how long none may be up. */
class Link : public LaneEvents {
 public:
  Link(EventLoop& loop, Session& session, LinkEvents& events, LinkSettings settings, TlsContext tls);

  /** To be called about every 250 ms. */
  void tick();
  /** The peer said that it will close the lanes; none is to be made again. */
  void expectEnd() { finishing_ = true; }
  /** Lets the lanes send what they have and close. */
  void finish();
  bool empty() const { return lanes_.empty(); }

  std::size_t up() const { return session_.lanesUp(); }
  bool everUp() const { return everUp_; }
  std::uint64_t reconnects() const { return reconnects_; }
  /** How long no lane was up, since the first one was. */
  Duration stalled() const;
  /** The least of the lanes'. */
  std::uint64_t roundTripMicros() const;
  const Lane::Traffic& traffic() const { return traffic_; }
  std::uint16_t protocolVersion() const { return version_; }
  virtual std::size_t configuredLanes() const = 0;

  void laneFrame(Lane& lane, Frame frame) final;
  void laneClosed(Lane& lane, const LaneFailure& failure) final;

 protected:
  struct Entry {
    std::unique_ptr<Lane> lane;
    std::uint16_t index = 0;  // as in HELLO
    bool up = false;
    TimePoint since{};
  };

  Entry& add(Fd socket, bool connected, std::uint16_t index);
  void markUp(Entry& entry);
  void fail(const Error& error);
  /** The first frame of a lane that is not up. */
  virtual void handshakeFrame(Entry& entry, const Frame& frame) = 0;
  virtual void laneLost(const Entry& entry, const LaneFailure& failure) = 0;
  virtual void onTick() = 0;
  /** What no lane for too long means. */
  virtual Error lost() const = 0;

  EventLoop& loop_;
  Session& session_;
  LinkEvents& events_;
  LinkSettings settings_;
  std::map<LaneId, Entry> lanes_;
  std::optional<TimePoint> downSince_;
  bool everUp_ = false;
  bool finishing_ = false;
  std::uint16_t version_ = 0;

 private:
  TlsContext tls_;
  Lane::Traffic traffic_;
  LaneId nextLane_ = 1;
  Duration stalled_{};
  std::uint64_t reconnects_ = 0;
  std::uint64_t lanesLost_ = 0;
  mutable std::uint64_t lastRoundTrip_ = 0;
  bool failed_ = false;
};

/** A random number for a session or a process. */
SessionId randomId();

}  // namespace streamer

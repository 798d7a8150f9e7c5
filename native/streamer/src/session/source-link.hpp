#pragma once

#include <vector>

#include "session/link.hpp"

namespace streamer {

struct SourceSettings {
  std::string host;
  std::uint16_t port = 0;
  std::uint16_t lanes = 1;
  Duration connectTimeout = seconds(15);
};

/** Makes the lanes, and makes them again when they break. */
class SourceLink final : public Link {
 public:
  SourceLink(EventLoop& loop, Session& session, LinkEvents& events, LinkSettings settings, TlsContext tls,
             SourceSettings source);

  void start();
  std::size_t configuredLanes() const override { return slots_.size(); }
  void laneSecured(Lane& lane) override;

 private:
  struct Slot {
    bool busy = false;
    bool given_up = false;
    TimePoint nextAttempt{};
    Duration delay{};
  };

  void handshakeFrame(Entry& entry, const Frame& frame) override;
  void welcomed(Entry& entry, const Frame& frame);
  void refused(Entry& entry, const Frame& frame);
  void laneLost(const Entry& entry, const LaneFailure& failure) override;
  void onTick() override;
  Error lost() const override;
  void connect(std::uint16_t index);
  void connectDue();

  SourceSettings source_;
  SessionId sessionId_;
  std::optional<SessionId> instance_;
  std::vector<Slot> slots_;
  TimePoint started_;
  Error lastError_{FailureCode::peerUnreachable, "The peer did not answer"};
  /** Since when every attempt was answered with "nobody is there". */
  std::optional<TimePoint> refusedSince_;
  EventLoop::Timer timer_;
};

}  // namespace streamer

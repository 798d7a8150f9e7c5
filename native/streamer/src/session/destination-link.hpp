#pragma once

#include <optional>

#include "net/sockets.hpp"
#include "session/link.hpp"

namespace streamer {

/** Takes the lanes that the source makes, if they belong to this transfer. */
class DestinationLink final : public Link {
 public:
  DestinationLink(EventLoop& loop, Session& session, LinkEvents& events, LinkSettings settings, TlsContext tls,
                  Fd listener);

  std::size_t configuredLanes() const override { return configured_; }
  /** Why the last stranger was sent away, for the message when nobody else comes. */
  const std::optional<Error>& lastRefusal() const { return lastRefusal_; }
  void laneSecured(Lane&) override {}

 private:
  void onConnection();
  void handshakeFrame(Entry& entry, const Frame& frame) override;
  void laneLost(const Entry& entry, const LaneFailure& failure) override;
  void onTick() override {}
  Error lost() const override;
  void refuse(Entry& entry, RefuseReason reason, const Error& error);
  void welcome(Entry& entry, const Hello& hello);

  Fd listener_;
  EventLoop::Watch watch_;
  SessionId instance_;
  std::optional<SessionId> sessionId_;
  std::size_t configured_ = 0;
  std::optional<Error> lastRefusal_;
  bool lastClosedByPeer_ = false;
};

}  // namespace streamer

#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "config.hpp"
#include "control/server.hpp"
#include "control/status.hpp"
#include "session/destination-link.hpp"
#include "session/link.hpp"
#include "session/session.hpp"
#include "session/source-link.hpp"

namespace streamer {

/**
 * One transfer from start to end.
 *
 *   starting ──▶ listening (destination) ─┐
 *      └───────▶ connecting (source) ─────┴─▶ connected ◀──▶ reconnecting
 *   and from each of them to finished or failed
 */
class Transfer final : public SessionEvents, public LinkEvents {
 public:
  Transfer(EventLoop& loop, Config config);
  ~Transfer() override;
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  /** Opens everything. On failure the status file says why, unless another process owns the directory. */
  Result<void> start();
  /** An orderly end, as if asked over the control socket. */
  void stop();
  bool failed() const { return state_ == TransferState::failed; }
  bool abortedHere() const { return abortedHere_; }

 private:
  void sessionBroken(const Error& error) override;
  void peerSaidGoodbye(const Goodbye& goodbye) override;
  void channelsChanged() override;
  void lanesChanged() override;
  void linkFailed(const Error& error) override;

  Result<void> openLink();
  Result<void> listenForServices();
  void onServiceConnection(std::size_t index);
  Result<std::string> handle(const ControlRequest& request);
  std::string status() const;
  void writeStatus();
  void setState(TransferState state);
  void tick();
  void judgeGoodbye(bool waited);
  void checkTimeouts();
  /** Ends the transfer. Only the first call counts. */
  void end(const std::optional<Error>& failure, const std::optional<Goodbye>& goodbye);
  void leaveWhenDrained(bool waited);

  struct Listener {
    Fd fd;
    std::string path;
    EventLoop::Watch watch;
  };

  EventLoop& loop_;
  Config config_;
  ProcessIdentity process_;
  StatusFile statusFile_;
  TransferState state_ = TransferState::starting;
  std::optional<Error> failure_;
  std::uint16_t listenPort_ = 0;
  std::unique_ptr<Session> session_;
  std::unique_ptr<Link> link_;
  std::unique_ptr<ControlServer> control_;
  std::vector<Listener> listeners_;
  DestinationLink* destination_ = nullptr;

  EventLoop::Timer tickTimer_;
  EventLoop::Timer observeTimer_;
  EventLoop::Timer goodbyeTimer_;
  EventLoop::Timer endTimer_;
  TimePoint startedAt_;
  TimePoint lastChannelAt_{};
  TimePoint lastStatusAt_{};
  std::optional<Goodbye> peerGoodbye_;
  bool ending_ = false;
  bool statusDue_ = false;
  bool ownsDirectory_ = false;
  bool abortedHere_ = false;
};

}  // namespace streamer

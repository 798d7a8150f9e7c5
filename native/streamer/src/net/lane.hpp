#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/fd.hpp"
#include "flow/send-stream.hpp"
#include "net/event-loop.hpp"
#include "net/tls.hpp"
#include "wire/frame.hpp"

namespace streamer {

class Lane;

/** Why a lane ended, and whether trying again could ever help. */
struct LaneFailure {
  Error error;
  bool final = false;
  /** The peer's kernel answered that nobody is there, or closed the connection: the host is up. */
  bool closedByPeer = false;
};

class LaneEvents {
 public:
  virtual ~LaneEvents() = default;
  virtual void laneSecured(Lane& lane) = 0;
  virtual void laneFrame(Lane& lane, Frame frame) = 0;
  /** Called once; the lane is of no use afterwards. */
  virtual void laneClosed(Lane& lane, const LaneFailure& failure) = 0;
};

/**
 * One TCP connection with TLS and framing. Answers and sends pings itself, reports every other frame.
 *
 *   connecting ──▶ handshaking ──▶ open ──▶ draining ──▶ closed      (closed from any)
 */
class Lane {
 public:
  struct Traffic {
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
  };

  /** `traffic` counts bytes of all lanes and outlives them. */
  Lane(EventLoop& loop, LaneId id, Fd socket, bool connected, std::unique_ptr<TlsStream> tls, LaneEvents& events,
       Traffic& traffic);

  LaneId id() const { return id_; }
  const std::string& peer() const { return peer_; }
  bool open() const { return state_ == State::open; }
  /** Whether a frame given now goes to the kernel without waiting behind others. */
  bool canTake() const { return state_ == State::open && tls_->output().size() < kQueueBytes; }
  /** Queues a frame; returns its bytes on the wire. */
  std::uint64_t send(const FrameHeader& header, std::span<const std::byte> payload);
  /** Sends what is queued, then closes in a way that lets the peer read it all. laneClosed follows. */
  void finish();
  /** Closes at once; laneClosed follows. */
  void close(LaneFailure failure);
  /** To be called about every 250 ms: pings and deadlines. */
  void tick(TimePoint now);

  std::uint64_t roundTripMicros() const { return roundTripMicros_; }
  int socket() const { return socket_.get(); }
  bool drained() const { return tls_->output().empty(); }

 private:
  enum class State { connecting, handshaking, open, draining, closed };
  static constexpr std::size_t kQueueBytes = 16U << 10;

  void onEvents(std::uint32_t events);
  void onConnected();
  void onReadable();
  bool consume(std::span<const std::byte> ciphertext);
  bool readFrames();
  void onFrame(Frame frame);
  void flush();
  void updateEvents();

  LaneId id_;
  Fd socket_;
  std::unique_ptr<TlsStream> tls_;
  LaneEvents& events_;
  Traffic& traffic_;
  std::string peer_ = "unknown";
  State state_;
  FrameDecoder decoder_;
  EventLoop& loop_;
  TimePoint started_;
  TimePoint lastReceived_;
  TimePoint lastPing_{};
  std::uint64_t roundTripMicros_ = 0;
  EventLoop::Watch watch_;
};

}  // namespace streamer

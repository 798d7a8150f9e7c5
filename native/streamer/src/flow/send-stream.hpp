#pragma once

#include <cstdint>
#include <deque>
#include <set>

#include "wire/frame.hpp"

namespace streamer {

using LaneId = std::uint64_t;

/**
 * One direction of one channel, at its sender: numbers frames, keeps them until they are acknowledged, and says which
 * one is next on the wire. Knows nothing of sockets.
 *
 *   append ──▶ preparing ──ready──▶ waiting ──sent(lane)──▶ on the wire ──acknowledge──▶ gone
 *                                      ▲                        │
 *                                      └────── laneLost ────────┘
 */
class SendStream {
 public:
  struct Freed {
    std::uint64_t cost = 0;
    std::uint64_t wireBytes = 0;  // of frames that were on the wire
  };

  /** Adds a frame whose payload is still being made; returns its sequence. */
  std::uint64_t append(FrameType type, std::uint32_t rawLength);
  /** Hands over the payload. An unknown sequence (the stream was reset meanwhile) is ignored. */
  void ready(std::uint64_t sequence, Codec codec, Buffer payload);

  bool hasWaiting() const { return !waiting_.empty(); }
  std::size_t waitingCount() const { return waiting_.size(); }
  /** How many frames have no payload yet. */
  std::size_t preparingCount() const { return preparing_; }
  /** The earliest waiting frame; nullptr without one. It stays valid until acknowledge() or reset(). */
  struct Outgoing {
    FrameHeader header;  // without the channel
    std::span<const std::byte> payload;
  };
  std::optional<Outgoing> nextWaiting() const;
  /**
   * Whether the earliest waiting frame comes before one that was sent already. The peer can consume nothing behind such a
   * gap, so no window may hold the frame back: it would wait for an acknowledgement that waits for it.
   */
  bool nextFillsGap() const { return !waiting_.empty() && *waiting_.begin() < sentBefore_; }
  /** Marks the frame nextWaiting() gave as on the wire. */
  void sent(LaneId lane, std::uint64_t wireBytes);
  /** What was sent on this lane waits again. Returns the wire bytes that are no longer on the wire. */
  std::uint64_t laneLost(LaneId lane);
  /** Frees everything before `nextWanted`. Fails when the peer acknowledges what was never sent. */
  Result<Freed> acknowledge(std::uint64_t nextWanted);
  /**
   * Drops everything unacknowledged and appends a last frame of the given type that carries the cost of it all:
   * the receiver may still hold the dropped frames until it sees this one. Returns the wire bytes dropped.
   */
  std::uint64_t endWith(FrameType type, Buffer payload);

  /** Drops everything. Returns what was held. */
  Freed clear();

  bool allAcknowledged() const { return frames_.empty(); }
  /** Cost of everything unacknowledged. */
  std::uint64_t cost() const { return cost_; }

 private:
  enum class State { preparing, waiting, onWire };
  struct Entry {
    FrameHeader header;
    Buffer payload;
    State state = State::preparing;
    LaneId lane = 0;
    std::uint64_t wireBytes = 0;
    std::uint64_t cost = 0;
  };

  Entry* find(std::uint64_t sequence);

  std::deque<Entry> frames_;  // frames_[i] has sequence base_ + i
  std::set<std::uint64_t> waiting_;
  std::uint64_t base_ = 0;
  std::uint64_t sentBefore_ = 0;  // all sequences that were ever sent are below
  std::uint64_t cost_ = 0;
  std::size_t preparing_ = 0;
};

}  // namespace streamer

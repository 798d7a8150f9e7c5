#pragma once

/*
 * Wire format, version 1. All numbers are big-endian. A lane carries frames back to back inside TLS.
 *
 *   0        2      3       4           8              16            20            24
 *   +--------+------+-------+-----------+--------------+-------------+-------------+---------------- - -
 *   | "NV"   | type | codec | channel   | sequence     | raw length  | payload len | payload
 *   | 2      | 1    | 1     | 4         | 8            | 4           | 4           | payload length bytes
 *   +--------+------+-------+-----------+--------------+-------------+-------------+---------------- - -
 *
 * type           channel  sequence               payload
 * HELLO        1 0        0                      source's first frame on a lane (handshake.hpp)
 * WELCOME      2 0        0                      destination's answer (handshake.hpp)
 * REFUSE       3 0        0                      "no", with a reason; the sender closes (handshake.hpp)
 * OPEN         4 id       0                      priority byte, service name
 * OPEN_OK      5 id       0                      none
 * OPEN_REFUSED 6 id       place in the stream    reason; ends the channel
 * DATA         7 id       place in the stream    a block of 1 byte to 1 MiB, as it is or as one zstd frame
 * END          8 id       place in the stream    none; the sender's local socket was half-closed
 * RESET        9 id       place in the stream    reason; ends the channel, what is unread is dropped
 * ACK         10 id       next wanted            none; everything before was consumed by the local socket
 * PING        11 0        any                    none
 * PONG        12 0        that of the PING       none
 * GOODBYE     13 0        0                      the session ends, with a reason (handshake.hpp)
 *
 * Types 4 to 9 are numbered per channel and direction from 0 without gaps. They may travel on any lane, are kept until an ACK
 * covers them, sent again when their lane breaks, and put in order and freed of duplicates by the receiver.
 * An ACK gives back the receive budget that its frames took (flow/credit.hpp), so there is no separate window frame.
 */

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/buffer.hpp"
#include "base/result.hpp"

namespace streamer {

enum class FrameType : std::uint8_t {
  hello = 1,
  welcome = 2,
  refuse = 3,
  open = 4,
  openOk = 5,
  openRefused = 6,
  data = 7,
  end = 8,
  reset = 9,
  ack = 10,
  ping = 11,
  pong = 12,
  goodbye = 13,
};

enum class Codec : std::uint8_t { none = 0, zstd = 1 };

inline constexpr std::size_t kHeaderBytes = 24;
inline constexpr std::uint32_t kMaxBlockBytes = 1U << 20;
inline constexpr std::uint32_t kMaxTextBytes = 512;
inline constexpr std::uint32_t kMaxServiceNameBytes = 64;

struct FrameHeader {
  FrameType type = FrameType::ping;
  Codec codec = Codec::none;
  std::uint32_t channel = 0;
  std::uint64_t sequence = 0;
  std::uint32_t rawLength = 0;
  std::uint32_t payloadLength = 0;

  bool operator==(const FrameHeader&) const = default;
};

struct Frame {
  FrameHeader header;
  Buffer payload;
};

/** Whether frames of this type are numbered, kept and sent again. */
bool isReliable(FrameType type);

std::array<std::byte, kHeaderBytes> encodeHeader(const FrameHeader& header);

/** Refuses whatever the drawing above does not allow, before a byte of the payload is stored. */
Result<FrameHeader> decodeHeader(std::span<const std::byte, kHeaderBytes> bytes);

/**
 * Cuts a byte stream into frames. The caller fills want() and reports it with filled(), so a payload is read straight
 * to where it stays.
 */
class FrameDecoder {
 public:
  /** Never empty. */
  std::span<std::byte> want();
  /** Takes note of bytes put at the start of want(). A frame comes out when its last byte is in. */
  Result<std::optional<Frame>> filled(std::size_t count);

 private:
  std::array<std::byte, kHeaderBytes> headerBytes_{};
  std::size_t headerFilled_ = 0;
  std::optional<FrameHeader> header_;
  Buffer payload_;
};

}  // namespace streamer

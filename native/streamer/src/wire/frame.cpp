#include "wire/frame.hpp"

#include <algorithm>

#include "base/bytes.hpp"

namespace streamer {
namespace {

constexpr std::uint16_t kMagic = 0x4e56;  // "NV"

struct PayloadLimits {
  std::uint32_t min;
  std::uint32_t max;
};

PayloadLimits payloadLimits(FrameType type) {
  switch (type) {
    case FrameType::hello:
    case FrameType::welcome:
    case FrameType::refuse:
    case FrameType::goodbye: return {1, 1024};
    case FrameType::open: return {2, 1 + kMaxServiceNameBytes};
    case FrameType::openRefused:
    case FrameType::reset: return {0, kMaxTextBytes};
    case FrameType::data: return {1, kMaxBlockBytes};
    case FrameType::openOk:
    case FrameType::end:
    case FrameType::ack:
    case FrameType::ping:
    case FrameType::pong: return {0, 0};
  }
  return {0, 0};
}

bool belongsToChannel(FrameType type) { return isReliable(type) || type == FrameType::ack; }

Error malformed(std::string what) {
  return Error{FailureCode::protocolError, "The peer sent a malformed frame: " + std::move(what)};
}

}  // namespace

bool isReliable(FrameType type) { return type >= FrameType::open && type <= FrameType::reset; }

std::array<std::byte, kHeaderBytes> encodeHeader(const FrameHeader& header) {
  ByteWriter writer;
  writer.write(kMagic);
  writer.write(static_cast<std::uint8_t>(header.type));
  writer.write(static_cast<std::uint8_t>(header.codec));
  writer.write(header.channel);
  writer.write(header.sequence);
  writer.write(header.rawLength);
  writer.write(header.payloadLength);
  std::array<std::byte, kHeaderBytes> bytes{};
  std::ranges::copy(writer.view(), bytes.begin());
  return bytes;
}

Result<FrameHeader> decodeHeader(std::span<const std::byte, kHeaderBytes> bytes) {
  ByteReader reader(bytes);
  std::uint16_t magic = 0;
  std::uint8_t type = 0;
  std::uint8_t codec = 0;
  FrameHeader header;
  if (!reader.read(magic) || !reader.read(type) || !reader.read(codec) || !reader.read(header.channel) ||
      !reader.read(header.sequence) || !reader.read(header.rawLength) || !reader.read(header.payloadLength)) {
    return malformed("short header");
  }
  if (magic != kMagic) return malformed("wrong magic");
  if (type < static_cast<std::uint8_t>(FrameType::hello) || type > static_cast<std::uint8_t>(FrameType::goodbye)) {
    return malformed("unknown type " + std::to_string(type));
  }
  if (codec > static_cast<std::uint8_t>(Codec::zstd)) return malformed("unknown codec " + std::to_string(codec));
  header.type = static_cast<FrameType>(type);
  header.codec = static_cast<Codec>(codec);

  const PayloadLimits limits = payloadLimits(header.type);
  if (header.payloadLength < limits.min || header.payloadLength > limits.max) {
    return malformed("payload of " + std::to_string(header.payloadLength) + " bytes in type " + std::to_string(type));
  }
  if (belongsToChannel(header.type) != (header.channel != 0)) return malformed("wrong channel for its type");
  if (header.type != FrameType::data) {
    if (header.codec != Codec::none || header.rawLength != 0) return malformed("raw length or codec without data");
    return header;
  }
  if (header.rawLength == 0 || header.rawLength > kMaxBlockBytes) return malformed("raw length out of bounds");
  // A block that compression does not shrink is sent as it is, so both bounds are exact.
  if (header.codec == Codec::none && header.rawLength != header.payloadLength) return malformed("lengths differ");
  if (header.codec == Codec::zstd && header.payloadLength >= header.rawLength) return malformed("grown block");
  return header;
}

std::span<std::byte> FrameDecoder::want() {
  if (header_) return payload_.space();
  return std::span(headerBytes_).subspan(headerFilled_);
}

Result<std::optional<Frame>> FrameDecoder::filled(std::size_t count) {
  if (!header_) {
    headerFilled_ = std::min(headerFilled_ + count, kHeaderBytes);
    if (headerFilled_ < kHeaderBytes) return std::optional<Frame>();
    auto header = decodeHeader(headerBytes_);
    if (!header) return header.error();
    headerFilled_ = 0;
    if (header->payloadLength == 0) return std::optional<Frame>(Frame{*header, Buffer()});
    header_ = *header;
    payload_ = Buffer(header->payloadLength);
    return std::optional<Frame>();
  }
  payload_.filled(count);
  if (payload_.size() < payload_.capacity()) return std::optional<Frame>();
  Frame frame{*header_, std::move(payload_)};
  header_.reset();
  payload_ = Buffer();
  return std::optional<Frame>(std::move(frame));
}

}  // namespace streamer

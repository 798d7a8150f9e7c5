#include "codec/zstd-codec.hpp"

#include <zstd.h>

#include <algorithm>
#include <string>

#include "wire/frame.hpp"

namespace streamer {

void ZstdEncoder::Free::operator()(ZSTD_CCtx_s* context) const { ZSTD_freeCCtx(context); }
void ZstdDecoder::Free::operator()(ZSTD_DCtx_s* context) const { ZSTD_freeDCtx(context); }

ZstdEncoder::ZstdEncoder() : context_(ZSTD_createCCtx()) {}
ZstdDecoder::ZstdDecoder() : context_(ZSTD_createDCtx()) {}

std::optional<Buffer> ZstdEncoder::encode(std::span<const std::byte> raw, int level) {
  if (context_ == nullptr || raw.size() < 2) return std::nullopt;
  // Only a result that is smaller than the input is of use, so there is no need for room beyond it.
  const std::size_t room = raw.size() - 1;
  if (scratch_.capacity() < room) scratch_ = Buffer(std::max<std::size_t>(room, 256U << 10));
  const std::size_t size = ZSTD_compressCCtx(context_.get(), scratch_.space().data(), room, raw.data(), raw.size(),
                                             std::clamp(level, kMinCompressionLevel, kMaxCompressionLevel));
  if (ZSTD_isError(size) != 0) return std::nullopt;
  return Buffer::copyOf(scratch_.space().first(size));
}

Result<Buffer> ZstdDecoder::decode(std::span<const std::byte> payload, std::size_t rawLength) {
  const auto refuse = [](std::string why) {
    return Error{FailureCode::protocolError, "The peer sent a block that does not decompress: " + std::move(why)};
  };
  if (context_ == nullptr) return Error{FailureCode::internal, "No memory for a zstd context"};
  if (rawLength == 0 || rawLength > kMaxBlockBytes) return refuse("length out of bounds");
  // The frame's own idea of its size decides how much memory zstd wants, so it must be ours before zstd sees it.
  if (ZSTD_getFrameContentSize(payload.data(), payload.size()) != rawLength) return refuse("lengths differ");
  Buffer raw(rawLength);
  const std::size_t size =
      ZSTD_decompressDCtx(context_.get(), raw.space().data(), rawLength, payload.data(), payload.size());
  if (ZSTD_isError(size) != 0) return refuse(ZSTD_getErrorName(size));
  if (size != rawLength) return refuse("lengths differ");
  raw.filled(size);
  return raw;
}

}  // namespace streamer

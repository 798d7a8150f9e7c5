#pragma once

#include <memory>
#include <optional>
#include <span>

#include "base/buffer.hpp"
#include "base/result.hpp"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace streamer {

inline constexpr int kMinCompressionLevel = 1;
inline constexpr int kMaxCompressionLevel = 12;  // above it one encoder would hold more memory than all the rest

/** Makes one zstd frame per block. Not shared between threads. */
class ZstdEncoder {
 public:
  ZstdEncoder();
  /** Nothing when the block does not shrink. */
  std::optional<Buffer> encode(std::span<const std::byte> raw, int level);

 private:
  struct Free {
    void operator()(ZSTD_CCtx_s* context) const;
  };
  std::unique_ptr<ZSTD_CCtx_s, Free> context_;
  Buffer scratch_;
};

/** Turns a hostile payload into exactly `rawLength` bytes, or refuses. */
class ZstdDecoder {
 public:
  ZstdDecoder();
  Result<Buffer> decode(std::span<const std::byte> payload, std::size_t rawLength);

 private:
  struct Free {
    void operator()(ZSTD_DCtx_s* context) const;
  };
  std::unique_ptr<ZSTD_DCtx_s, Free> context_;
};

}  // namespace streamer

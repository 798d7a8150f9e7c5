#include <cstdlib>

#include "codec/zstd-codec.hpp"

using namespace streamer;

// The first three bytes are the length that the frame's header claims.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  static ZstdDecoder decoder;
  static ZstdEncoder encoder;
  const std::size_t claimed = data[0] | (std::size_t{data[1]} << 8) | (std::size_t{data[2]} << 16);
  const auto payload = std::as_bytes(std::span(data, size)).subspan(3);
  auto raw = decoder.decode(payload, claimed);
  if (raw && raw->size() != claimed) std::abort();
  if (const auto encoded = encoder.encode(payload, 1)) {
    auto back = decoder.decode(encoded->view(), payload.size());
    if (!back || back->size() != payload.size()) std::abort();
  }
  return 0;
}

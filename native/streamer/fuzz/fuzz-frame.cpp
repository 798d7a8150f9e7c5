#include <algorithm>
#include <cstdlib>

#include "wire/frame.hpp"

using namespace streamer;

// The first byte says in what pieces the rest arrives.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t piece = 1U + data[0];
  auto rest = std::as_bytes(std::span(data, size)).subspan(1);
  FrameDecoder decoder;
  while (!rest.empty()) {
    const auto want = decoder.want();
    if (want.empty()) std::abort();
    const std::size_t count = std::min({want.size(), rest.size(), piece});
    std::copy_n(rest.begin(), count, want.begin());
    rest = rest.subspan(count);
    auto frame = decoder.filled(count);
    if (!frame) return 0;
    if (!*frame) continue;
    const FrameHeader& header = (*frame)->header;
    if ((*frame)->payload.size() != header.payloadLength || header.payloadLength > kMaxBlockBytes) std::abort();
    // What was accepted is written the same way.
    if (auto again = decodeHeader(encodeHeader(header)); !again || !(*again == header)) std::abort();
  }
  return 0;
}

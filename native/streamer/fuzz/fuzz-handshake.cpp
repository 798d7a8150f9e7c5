#include <algorithm>
#include <cstdlib>

#include "wire/handshake.hpp"

using namespace streamer;

namespace {

/** What is accepted must be written again byte for byte. */
void roundTrip(std::span<const std::byte> bytes, auto decode) {
  auto decoded = decode(bytes);
  if (decoded && !std::ranges::equal(encode(*decoded), bytes)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data, size)).subspan(1);
  switch (data[0] % 4) {
    case 0:
      roundTrip(bytes, decodeHello);
      if (auto prefix = decodeHelloPrefix(bytes)) negotiate(kVersions, prefix->versions);
      break;
    case 1: roundTrip(bytes, decodeWelcome); break;
    case 2: (void)decodeRefuse(bytes); break;
    default: roundTrip(bytes, decodeGoodbye); break;
  }
  return 0;
}

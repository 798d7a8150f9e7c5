#include <string_view>

#include "control/request.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto parsed = streamer::parseControlRequest({reinterpret_cast<const char*>(data), size});
  // The id goes into the answer's line as it is.
  if (parsed.id.empty() || parsed.id.size() > 1000 || parsed.id.find('\n') != std::string::npos) __builtin_trap();
  return 0;
}

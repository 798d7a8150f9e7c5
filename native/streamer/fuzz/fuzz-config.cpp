#include "config.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto config = streamer::parseConfig({reinterpret_cast<const char*>(data), size});
  if (!config && config.error().message.empty()) __builtin_trap();
  if (config && (config->lanes == 0 || config->lanes > 16 || config->services.empty())) __builtin_trap();
  return 0;
}

#pragma once

#include <optional>
#include <string>

#include "net/sockets.hpp"

namespace streamer {

enum class Priority : std::uint8_t { interactive = 0, bulk = 1 };

/** A name both ends know and the unix socket behind it. */
struct Service {
  std::string name;
  std::string path;
  Priority priority = Priority::bulk;
  std::optional<Owner> owner;
};

}  // namespace streamer

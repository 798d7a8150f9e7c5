#pragma once

/*
 * Payloads of the frames that start and end a session.
 *
 *   HELLO    u16 lowest version, u16 highest version, 32 bytes token,            <- this prefix never changes
 *            16 bytes session, u8 flags (1: the session exists already), u16 lane, u16 lanes, u32 bulk budget,
 *            u32 interactive budget, u8 length + transfer id
 *   WELCOME  u16 version, 16 bytes session, 16 bytes instance of the destination, u32 bulk budget, u32 interactive budget
 *   REFUSE   u16 reason, u16 lowest version, u16 highest version, u16 length + text
 *   GOODBYE  u16 reason, u16 length + text
 *
 * The prefix of HELLO is enough to check the token and to refuse a version in words the peer understands, whatever
 * later versions put behind it.
 */

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace streamer {

using Token = std::array<std::byte, 32>;
using SessionId = std::array<std::byte, 16>;

struct VersionRange {
  std::uint16_t lowest = 0;
  std::uint16_t highest = 0;
};

/** The versions spoken here. Version 1 is the first; from version 2 on the lowest is the one before the highest. */
inline constexpr VersionRange kVersions{1, 1};

/** The highest version both speak, if there is one. */
std::optional<std::uint16_t> negotiate(VersionRange ours, VersionRange theirs);

struct Hello {
  VersionRange versions;
  Token token{};
  SessionId session{};
  bool resumes = false;
  std::uint16_t lane = 0;
  std::uint16_t lanes = 1;
  std::uint32_t bulkBudget = 0;
  std::uint32_t interactiveBudget = 0;
  std::string transferId;
};

struct HelloPrefix {
  VersionRange versions;
  Token token{};
};

struct Welcome {
  std::uint16_t version = 0;
  SessionId session{};
  SessionId instance{};
  std::uint32_t bulkBudget = 0;
  std::uint32_t interactiveBudget = 0;
};

enum class RefuseReason : std::uint16_t {
  version = 1,
  token = 2,
  otherSession = 3,    // the destination serves another session: this source was restarted
  unknownSession = 4,  // the source resumes a session the destination never had: the destination was restarted
  tooManyLanes = 5,
  malformed = 6,
  ending = 7,
};

struct Refuse {
  RefuseReason reason = RefuseReason::malformed;
  VersionRange versions;
  std::string text;
};

enum class GoodbyeReason : std::uint16_t { finished = 0, stopped = 1, aborted = 2, failed = 3 };

struct Goodbye {
  GoodbyeReason reason = GoodbyeReason::finished;
  std::string text;
};

using Bytes = std::vector<std::byte>;

Bytes encode(const Hello& hello);
Bytes encode(const Welcome& welcome);
Bytes encode(const Refuse& refuse);
Bytes encode(const Goodbye& goodbye);

Result<HelloPrefix> decodeHelloPrefix(std::span<const std::byte> bytes);
Result<Hello> decodeHello(std::span<const std::byte> bytes);
Result<Welcome> decodeWelcome(std::span<const std::byte> bytes);
Result<Refuse> decodeRefuse(std::span<const std::byte> bytes);
Result<Goodbye> decodeGoodbye(std::span<const std::byte> bytes);

}  // namespace streamer

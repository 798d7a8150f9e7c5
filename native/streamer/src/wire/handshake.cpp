#include "wire/handshake.hpp"

#include <algorithm>

#include "base/bytes.hpp"
#include "wire/frame.hpp"

namespace streamer {
namespace {

constexpr std::uint8_t kResumesFlag = 1;
constexpr std::size_t kMaxTransferIdBytes = 64;

Error malformed(const char* what) {
  return Error{FailureCode::protocolError, std::string("The peer sent a malformed ") + what};
}

void writeShortText(ByteWriter& writer, const std::string& text) {
  const auto length = static_cast<std::uint16_t>(std::min<std::size_t>(text.size(), kMaxTextBytes));
  writer.write(length);
  writer.writeText(std::string_view(text).substr(0, length));
}

bool readShortText(ByteReader& reader, std::string& text) {
  std::uint16_t length = 0;
  return reader.read(length) && length <= kMaxTextBytes && reader.readText(text, length);
}

bool readPrefix(ByteReader& reader, VersionRange& versions, Token& token) {
  return reader.read(versions.lowest) && reader.read(versions.highest) && versions.lowest <= versions.highest &&
         reader.read(std::span(token));
}

}  // namespace

std::optional<std::uint16_t> negotiate(VersionRange ours, VersionRange theirs) {
  const std::uint16_t highest = std::min(ours.highest, theirs.highest);
  if (highest < std::max(ours.lowest, theirs.lowest)) return std::nullopt;
  return highest;
}

Bytes encode(const Hello& hello) {
  ByteWriter writer;
  writer.write(hello.versions.lowest);
  writer.write(hello.versions.highest);
  writer.write(std::span<const std::byte>(hello.token));
  writer.write(std::span<const std::byte>(hello.session));
  writer.write(hello.resumes ? kResumesFlag : std::uint8_t{0});
  writer.write(hello.lane);
  writer.write(hello.lanes);
  writer.write(hello.bulkBudget);
  writer.write(hello.interactiveBudget);
  const auto length = static_cast<std::uint8_t>(std::min(hello.transferId.size(), kMaxTransferIdBytes));
  writer.write(length);
  writer.writeText(std::string_view(hello.transferId).substr(0, length));
  return writer.take();
}

Bytes encode(const Welcome& welcome) {
  ByteWriter writer;
  writer.write(welcome.version);
  writer.write(std::span<const std::byte>(welcome.session));
  writer.write(std::span<const std::byte>(welcome.instance));
  writer.write(welcome.bulkBudget);
  writer.write(welcome.interactiveBudget);
  return writer.take();
}

Bytes encode(const Refuse& refuse) {
  ByteWriter writer;
  writer.write(static_cast<std::uint16_t>(refuse.reason));
  writer.write(refuse.versions.lowest);
  writer.write(refuse.versions.highest);
  writeShortText(writer, refuse.text);
  return writer.take();
}

Bytes encode(const Goodbye& goodbye) {
  ByteWriter writer;
  writer.write(static_cast<std::uint16_t>(goodbye.reason));
  writeShortText(writer, goodbye.text);
  return writer.take();
}

Result<HelloPrefix> decodeHelloPrefix(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  HelloPrefix prefix;
  if (!readPrefix(reader, prefix.versions, prefix.token)) return malformed("HELLO");
  return prefix;
}

Result<Hello> decodeHello(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  Hello hello;
  std::uint8_t flags = 0;
  std::uint8_t idLength = 0;
  if (!readPrefix(reader, hello.versions, hello.token) || !reader.read(std::span(hello.session)) ||
      !reader.read(flags) || !reader.read(hello.lane) || !reader.read(hello.lanes) || !reader.read(hello.bulkBudget) ||
      !reader.read(hello.interactiveBudget) || !reader.read(idLength) || idLength > kMaxTransferIdBytes ||
      !reader.readText(hello.transferId, idLength) || !reader.atEnd()) {
    return malformed("HELLO");
  }
  if (flags > kResumesFlag || hello.lanes == 0 || hello.lane >= hello.lanes) return malformed("HELLO");
  hello.resumes = flags == kResumesFlag;
  return hello;
}

Result<Welcome> decodeWelcome(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  Welcome welcome;
  if (!reader.read(welcome.version) || !reader.read(std::span(welcome.session)) ||
      !reader.read(std::span(welcome.instance)) || !reader.read(welcome.bulkBudget) ||
      !reader.read(welcome.interactiveBudget) || !reader.atEnd()) {
    return malformed("WELCOME");
  }
  return welcome;
}

Result<Refuse> decodeRefuse(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  Refuse refuse;
  std::uint16_t reason = 0;
  if (!reader.read(reason) || !reader.read(refuse.versions.lowest) || !reader.read(refuse.versions.highest) ||
      !readShortText(reader, refuse.text) || !reader.atEnd()) {
    return malformed("REFUSE");
  }
  // A later version may know more reasons; its text still says which.
  const bool known = reason >= static_cast<std::uint16_t>(RefuseReason::version) &&
                     reason <= static_cast<std::uint16_t>(RefuseReason::ending);
  refuse.reason = known ? static_cast<RefuseReason>(reason) : RefuseReason::malformed;
  return refuse;
}

Result<Goodbye> decodeGoodbye(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  Goodbye goodbye;
  std::uint16_t reason = 0;
  if (!reader.read(reason) || reason > static_cast<std::uint16_t>(GoodbyeReason::failed) ||
      !readShortText(reader, goodbye.text) || !reader.atEnd()) {
    return malformed("GOODBYE");
  }
  goodbye.reason = static_cast<GoodbyeReason>(reason);
  return goodbye;
}

}  // namespace streamer

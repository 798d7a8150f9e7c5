#include <algorithm>
#include <random>

#include "base/bytes.hpp"
#include "codec/zstd-codec.hpp"
#include "support/harness.hpp"
#include "wire/frame.hpp"
#include "wire/handshake.hpp"

using namespace streamer;

namespace {

FrameHeader dataHeader(std::uint32_t length) {
  FrameHeader header;
  header.type = FrameType::data;
  header.channel = 7;
  header.sequence = 42;
  header.rawLength = length;
  header.payloadLength = length;
  return header;
}

bool accepts(const FrameHeader& header) { return static_cast<bool>(decodeHeader(encodeHeader(header))); }

/** Feeds bytes in pieces of the given size; returns the frames, or nothing on refusal. */
std::optional<std::vector<Frame>> decodeAll(std::span<const std::byte> bytes, std::size_t piece) {
  FrameDecoder decoder;
  std::vector<Frame> frames;
  while (!bytes.empty()) {
    const auto want = decoder.want();
    const std::size_t count = std::min({want.size(), piece, bytes.size()});
    std::copy_n(bytes.begin(), count, want.begin());
    bytes = bytes.subspan(count);
    auto frame = decoder.filled(count);
    if (!frame) return std::nullopt;
    if (*frame) frames.push_back(std::move(**frame));
  }
  return frames;
}

Hello someHello() {
  Hello hello;
  hello.versions = {1, 3};
  hello.token.fill(std::byte{0x5a});
  hello.session.fill(std::byte{0x17});
  hello.resumes = true;
  hello.lane = 1;
  hello.lanes = 4;
  hello.bulkBudget = 1 << 20;
  hello.interactiveBudget = 1 << 21;
  hello.transferId = "8f0c";
  return hello;
}

}  // namespace

TEST("a header survives encoding and decoding") {
  const FrameHeader header = dataHeader(1000);
  auto decoded = decodeHeader(encodeHeader(header));
  CHECK(static_cast<bool>(decoded));
  CHECK(*decoded == header);
}

TEST("a header beyond a limit is refused") {
  CHECK(accepts(dataHeader(kMaxBlockBytes)));
  CHECK(!accepts(dataHeader(kMaxBlockBytes + 1)));
  CHECK(!accepts(dataHeader(0)));
  FrameHeader unequal = dataHeader(10);
  unequal.payloadLength = 9;
  CHECK(!accepts(unequal));
  unequal.codec = Codec::zstd;
  CHECK(accepts(unequal));
  unequal.payloadLength = 10;
  CHECK(!accepts(unequal));
  FrameHeader noChannel = dataHeader(10);
  noChannel.channel = 0;
  CHECK(!accepts(noChannel));
  FrameHeader ping;
  ping.type = FrameType::ping;
  CHECK(accepts(ping));
  ping.payloadLength = 1;
  CHECK(!accepts(ping));
  ping.payloadLength = 0;
  ping.channel = 1;
  CHECK(!accepts(ping));
}

TEST("every header with one bit wrong in magic, type or codec is refused or differs") {
  const auto good = encodeHeader(dataHeader(1000));
  for (std::size_t bit = 0; bit < 32; ++bit) {
    auto bad = good;
    bad[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    auto decoded = decodeHeader(bad);
    CHECK(!decoded || !(*decoded == dataHeader(1000)));
  }
}

TEST("frames come out whole however the bytes are cut") {
  std::vector<std::byte> stream;
  for (std::uint32_t length : {1U, 23U, 24U, 25U, 5000U}) {
    const auto header = encodeHeader(dataHeader(length));
    stream.insert(stream.end(), header.begin(), header.end());
    stream.insert(stream.end(), length, static_cast<std::byte>(length));
  }
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{24}, std::size_t{100000}}) {
    const auto frames = decodeAll(stream, piece);
    CHECK(frames.has_value());
    CHECK_EQUAL(frames->size(), 5U);
    CHECK_EQUAL(frames->back().payload.size(), 5000U);
  }
}

TEST("a truncated frame gives nothing and garbage is refused") {
  const auto header = encodeHeader(dataHeader(100));
  std::vector<std::byte> stream(header.begin(), header.end());
  stream.resize(stream.size() + 99);
  CHECK(decodeAll(stream, 10)->empty());
  std::mt19937 random(1);
  std::vector<std::byte> garbage(1000);
  for (std::byte& byte : garbage) byte = static_cast<std::byte>(random() & 0xff);
  CHECK(!decodeAll(garbage, 100).has_value());
}

TEST("handshake payloads survive encoding and decoding") {
  auto hello = decodeHello(encode(someHello()));
  CHECK(static_cast<bool>(hello));
  CHECK_EQUAL(hello->transferId, "8f0c");
  CHECK_EQUAL(hello->lanes, 4);
  CHECK(hello->resumes);
  CHECK(hello->token == someHello().token);
  auto refuse = decodeRefuse(encode(Refuse{RefuseReason::token, {1, 2}, "no"}));
  CHECK(static_cast<bool>(refuse));
  CHECK_EQUAL(refuse->text, "no");
  auto welcome = decodeWelcome(encode(Welcome{1, {}, {}, 5, 6}));
  CHECK(static_cast<bool>(welcome));
  CHECK_EQUAL(welcome->interactiveBudget, 6U);
  auto goodbye = decodeGoodbye(encode(Goodbye{GoodbyeReason::aborted, std::string(9999, 'x')}));
  CHECK(static_cast<bool>(goodbye));
  CHECK_EQUAL(goodbye->text.size(), kMaxTextBytes);
}

TEST("every truncation of a handshake payload is refused") {
  const Bytes hello = encode(someHello());
  for (std::size_t length = 0; length < hello.size(); ++length) CHECK(!decodeHello(std::span(hello).first(length)));
  const Bytes refuse = encode(Refuse{RefuseReason::token, {1, 2}, "no"});
  for (std::size_t length = 0; length < refuse.size(); ++length) CHECK(!decodeRefuse(std::span(refuse).first(length)));
}

TEST("a HELLO of a later version can be refused from its prefix") {
  Hello later = someHello();
  later.versions = {7, 8};
  Bytes bytes = encode(later);
  bytes.resize(bytes.size() + 50, std::byte{1});
  auto prefix = decodeHelloPrefix(bytes);
  CHECK(static_cast<bool>(prefix));
  CHECK_EQUAL(prefix->versions.lowest, 7);
  CHECK(!negotiate(kVersions, prefix->versions).has_value());
}

TEST("the highest common version is chosen") {
  CHECK_EQUAL(negotiate({1, 2}, {1, 2}).value_or(0), 2);
  CHECK_EQUAL(negotiate({2, 3}, {1, 2}).value_or(0), 2);
  CHECK_EQUAL(negotiate({1, 2}, {2, 3}).value_or(0), 2);
  CHECK(!negotiate({2, 3}, {4, 5}).has_value());
  CHECK(!negotiate({2, 3}, {0, 1}).has_value());
}

TEST("a compressed block comes back as it was") {
  std::vector<std::byte> raw(200000);
  for (std::size_t i = 0; i < raw.size(); ++i) raw[i] = static_cast<std::byte>((i / 100) & 0xff);
  ZstdEncoder encoder;
  ZstdDecoder decoder;
  for (const int level : {1, 3, 12, 99}) {
    const auto payload = encoder.encode(raw, level);
    CHECK(payload.has_value());
    auto back = decoder.decode(payload->view(), raw.size());
    CHECK(static_cast<bool>(back));
    CHECK(std::ranges::equal(back->view(), raw));
  }
}

TEST("a block that does not shrink is left alone") {
  std::mt19937_64 random(3);
  std::vector<std::byte> raw(100000);
  for (std::byte& byte : raw) byte = static_cast<std::byte>(random() & 0xff);
  CHECK(!ZstdEncoder().encode(raw, 1).has_value());
}

TEST("a hostile block is refused") {
  const std::vector<std::byte> raw(5000);
  const auto payload = ZstdEncoder().encode(raw, 1);
  ZstdDecoder decoder;
  CHECK(!decoder.decode(payload->view(), 4999));
  CHECK(!decoder.decode(payload->view(), 5001));
  CHECK(!decoder.decode(payload->view().first(payload->size() - 1), 5000));
  CHECK(!decoder.decode(asBytes("nonsense"), 5000));
  CHECK(!decoder.decode({}, 5000));
}

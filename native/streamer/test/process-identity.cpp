#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>

#include "net/sockets.hpp"
#include "net/tls.hpp"
#include "support/harness.hpp"
#include "support/pair.hpp"
#include "wire/frame.hpp"
#include "wire/handshake.hpp"

using namespace test;
using namespace streamer;

namespace {

/** The source fails with this code, and the destination goes on waiting for the right one. */
void expectRefused(const PairSettings& settings, const std::string& code) {
  Pair pair(settings);
  CHECK_EQUAL(pair.source().process().wait(), 1);
  CHECK_EQUAL(pair.source().failureCode(), code);
  CHECK(pair.destination().process().running());
  CHECK_EQUAL(pair.destination().state(), "listening");
  await("the refusal in the log", [&] { return pair.destination().log().find("\"warn\"") != std::string::npos; });
}

/** A source made by hand, to say what ours would not. */
class RawSource {
 public:
  explicit RawSource(Pair& pair)
      : context_(std::move(*TlsContext::load({pair.settings().source.certificate, pair.settings().source.key,
                                    pair.settings().source.ca, kNodeB},
                                   TlsRole::client))),
        tls_(TlsStream::create(context_)) {
    fd_ = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(pair.port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
    while (true) {
      const auto complete = tls_->handshake();
      flush();
      CHECK(complete.has_value());
      if (*complete) return;
      receiveMore();
    }
  }

  void send(FrameHeader header, std::span<const std::byte> payload) {
    header.payloadLength = static_cast<std::uint32_t>(payload.size());
    sendRaw(encodeHeader(header));
    sendRaw(payload);
  }
  void sendRaw(std::span<const std::byte> bytes) {
    CHECK(tls_->write(bytes));
    flush();
  }
  /** The next frame that is not a ping; nothing when the peer closed. */
  std::optional<Frame> next() {
    while (true) {
      const auto count = tls_->read(decoder_.want());
      if (!count) return std::nullopt;
      if (*count == 0) {
        if (!receiveMore()) return std::nullopt;
        continue;
      }
      auto frame = decoder_.filled(*count);
      CHECK(static_cast<bool>(frame));
      if (*frame && (*frame)->header.type != FrameType::ping) return std::move(**frame);
    }
  }

 private:
  void flush() {
    while (!tls_->output().empty()) {
      const auto output = tls_->output();
      const ssize_t sent = ::send(fd_.get(), output.data(), output.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      tls_->outputSent(static_cast<std::size_t>(sent));
    }
  }
  bool receiveMore() {
    const ssize_t got = ::recv(fd_.get(), input_.data(), input_.size(), 0);
    if (got <= 0) return false;
    tls_->feed(std::span(input_).first(static_cast<std::size_t>(got)));
    return true;
  }

  TlsContext context_;
  std::unique_ptr<TlsStream> tls_;
  Fd fd_;
  FrameDecoder decoder_;
  std::array<std::byte, 16384> input_{};
};

Hello goodHello() {
  Hello hello;
  hello.versions = kVersions;
  hello.token.fill(std::byte{0xaa});
  hello.bulkBudget = hello.interactiveBudget = 1 << 20;
  return hello;
}

FrameHeader headerOf(FrameType type, std::uint32_t channel = 0, std::uint64_t sequence = 0) {
  FrameHeader header;
  header.type = type;
  header.channel = channel;
  header.sequence = sequence;
  return header;
}

PairSettings withoutSource() {
  PairSettings settings;
  settings.startSource = false;
  return settings;
}

/** After a good HELLO, a breach of the protocol must end the destination cleanly. */
void expectProtocolError(const std::function<void(RawSource&)>& breach) {
  Pair pair(withoutSource());
  RawSource source(pair);
  source.send(headerOf(FrameType::hello), encode(goodHello()));
  CHECK(source.next()->header.type == FrameType::welcome);
  breach(source);
  CHECK_EQUAL(pair.destination().process().wait(), 1);
  CHECK_EQUAL(pair.destination().failureCode(), "PROTOCOL_ERROR");
}

}  // namespace

TEST("a certificate of another CA is refused by the destination") {
  PairSettings settings;
  const CertificateFiles files = identities().otherCa.issue("a-other", kNodeA);
  settings.source.certificate = files.certificate;
  settings.source.key = files.key;
  expectRefused(settings, "TLS_FAILED");
}

TEST("a destination of another CA is refused by the source") {
  PairSettings settings;
  const CertificateFiles files = identities().otherCa.issue("b-other", kNodeB);
  settings.destination.certificate = files.certificate;
  settings.destination.key = files.key;
  expectRefused(settings, "TLS_FAILED");
}

TEST("an expired certificate is refused") {
  PairSettings settings;
  const CertificateFiles files = identities().ca.issue("a-expired", kNodeA, -3600);
  settings.source.certificate = files.certificate;
  settings.source.key = files.key;
  expectRefused(settings, "TLS_FAILED");
}

TEST("a destination with another name is refused by the source") {
  PairSettings settings;
  settings.source.peerName = "spiffe://novacron/node/c";
  expectRefused(settings, "PEER_NAME_MISMATCH");
}

TEST("a source with another name is refused by the destination") {
  PairSettings settings;
  settings.destination.peerName = "spiffe://novacron/node/c";
  expectRefused(settings, "TLS_FAILED");
}

TEST("a lane of another transfer is refused by its token") {
  PairSettings settings;
  settings.source.token = std::string(63, 'a') + "b";
  expectRefused(settings, "TOKEN_MISMATCH");
}

TEST("a source of an unknown version is refused and both sides learn why") {
  Pair pair(withoutSource());
  RawSource source(pair);
  Hello hello = goodHello();
  hello.versions = {7, 8};
  source.send(headerOf(FrameType::hello), encode(hello));
  const auto frame = source.next();
  CHECK(frame.has_value() && frame->header.type == FrameType::refuse);
  auto refuse = decodeRefuse(frame->payload.view());
  CHECK(refuse->reason == RefuseReason::version);
  CHECK_EQUAL(pair.destination().process().wait(), 1);
  CHECK_EQUAL(pair.destination().failureCode(), "VERSION_MISMATCH");
}

TEST("strangers that connect and say nothing or nonsense do not keep the source out") {
  Pair pair(withoutSource());
  std::vector<Fd> strangers;
  for (int i = 0; i < 20; ++i) {
    auto stranger = startConnectTcp("127.0.0.1", pair.port());
    CHECK(static_cast<bool>(stranger));
    if (i % 2 == 0) {
      await("the connection", [&] { return ::send(stranger->get(), "GET / HTTP/1.0\r\n\r\n", 18, MSG_NOSIGNAL) > 0; });
    }
    strangers.push_back(std::move(*stranger));
  }
  pair.startSource();
  exchange(pair.connect("ram"), "hello", "world");
}

TEST("more than sixteen lanes are refused") {
  Pair pair(withoutSource());
  std::vector<std::unique_ptr<RawSource>> lanes;
  Hello hello = goodHello();
  hello.lanes = 17;
  RawSource source(pair);
  source.send(headerOf(FrameType::hello), encode(hello));
  const auto frame = source.next();
  CHECK(frame.has_value());
  CHECK(decodeRefuse(frame->payload.view())->reason == RefuseReason::tooManyLanes);
}

TEST("a malformed frame ends the transfer") {
  expectProtocolError([](RawSource& source) { source.sendRaw(std::vector<std::byte>(24, std::byte{0x55})); });
}

TEST("a block that does not decompress ends the transfer") {
  const TemporaryFolder unused;
  Pair pair(withoutSource());
  const Fd listener = listenOn(pair.destination().service("ram"));
  RawSource source(pair);
  source.send(headerOf(FrameType::hello), encode(goodHello()));
  CHECK(source.next()->header.type == FrameType::welcome);
  const std::string open = std::string(1, '\x01') + "ram";
  source.send(headerOf(FrameType::open, 1), std::as_bytes(std::span(open)));
  FrameHeader data = headerOf(FrameType::data, 1, 1);
  data.codec = Codec::zstd;
  data.rawLength = 1000;
  source.send(data, std::vector<std::byte>(100, std::byte{0x28}));
  CHECK_EQUAL(pair.destination().process().wait(), 1);
  CHECK_EQUAL(pair.destination().failureCode(), "PROTOCOL_ERROR");
}

TEST("data beyond the receive budget ends the transfer") {
  Pair pair(withoutSource());
  const Fd listener = listenOn(pair.destination().service("ram"));
  RawSource source(pair);
  source.send(headerOf(FrameType::hello), encode(goodHello()));
  CHECK(source.next()->header.type == FrameType::welcome);
  const std::string open = std::string(1, '\x01') + "ram";
  source.send(headerOf(FrameType::open, 1), std::as_bytes(std::span(open)));
  const std::vector<std::byte> block(1 << 20);
  for (std::uint64_t i = 1; i < 40 && pair.destination().process().running(); ++i) {
    FrameHeader data = headerOf(FrameType::data, 1, i);
    data.rawLength = 1 << 20;
    source.send(data, block);
  }
  CHECK_EQUAL(pair.destination().process().wait(), 1);
  CHECK_EQUAL(pair.destination().failureCode(), "PROTOCOL_ERROR");
}

TEST("an acknowledgement of what was never sent ends the transfer") {
  expectProtocolError([](RawSource& source) {
    const std::string open = std::string(1, '\x00') + "lv";
    source.send(headerOf(FrameType::open, 1), std::as_bytes(std::span(open)));
    source.send(headerOf(FrameType::ack, 1, 1000), {});
  });
}

TEST("an unknown service is refused and the transfer goes on") {
  Pair pair(withoutSource());
  RawSource source(pair);
  source.send(headerOf(FrameType::hello), encode(goodHello()));
  CHECK(source.next()->header.type == FrameType::welcome);
  const std::string open = std::string(1, '\x01') + "secrets";
  source.send(headerOf(FrameType::open, 1), std::as_bytes(std::span(open)));
  FrameType last = FrameType::ping;
  while (last != FrameType::openRefused) {
    const auto frame = source.next();
    CHECK(frame.has_value());
    last = frame->header.type;
  }
  CHECK(pair.destination().process().running());
}

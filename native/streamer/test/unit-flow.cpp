#include <deque>
#include <random>

#include "codec/compression-policy.hpp"
#include "flow/credit.hpp"
#include "flow/inflight-window.hpp"
#include "flow/receive-stream.hpp"
#include "flow/send-stream.hpp"
#include "flow/token-bucket.hpp"
#include "session/finished-channels.hpp"
#include "support/harness.hpp"

using namespace streamer;

namespace {

const TimePoint kStart{seconds(1000)};

Frame copyOf(const SendStream::Outgoing& outgoing) { return Frame{outgoing.header, Buffer::copyOf(outgoing.payload)}; }

void addData(SendStream& stream, std::uint32_t value) {
  const std::uint64_t sequence = stream.append(FrameType::data, 4);
  Buffer payload(4);
  for (unsigned shift = 0; shift < 32; shift += 8) {
    const auto byte = static_cast<std::byte>((value >> shift) & 0xff);
    payload.append(std::span(&byte, 1));
  }
  stream.ready(sequence, Codec::none, std::move(payload));
}

std::uint32_t valueOf(const Frame& frame) {
  std::uint32_t value = 0;
  for (unsigned i = 0; i < 4; ++i) value |= std::to_integer<std::uint32_t>(frame.payload.view()[i]) << (8 * i);
  return value;
}

}  // namespace

TEST("lanes that break at random lose, double and reorder nothing") {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    SendStream sender;
    ReceiveStream receiver;
    struct OnLane {
      std::deque<Frame> frames;
      LaneId id;
    };
    LaneId nextLane = 1;
    std::array<OnLane, 3> lanes;
    for (OnLane& lane : lanes) lane.id = nextLane++;
    std::uint32_t produced = 0;
    std::uint32_t consumed = 0;
    constexpr std::uint32_t kTotal = 300;
    std::vector<std::uint64_t> acksOnTheWay;
    for (unsigned step = 0; consumed < kTotal || !sender.allAcknowledged(); ++step) {
      CHECK(step < 100000);
      OnLane& lane = lanes[random() % lanes.size()];
      switch (random() % 6) {
        case 0:
          if (produced < kTotal && sender.cost() < 40 * kFrameCost) addData(sender, produced++);
          break;
        case 1:
          if (const auto next = sender.nextWaiting()) {
            lane.frames.push_back(copyOf(*next));
            sender.sent(lane.id, 28);
          }
          break;
        case 2:
          if (lane.frames.empty()) break;
          CHECK(static_cast<bool>(receiver.accept(std::move(lane.frames.front()))));
          lane.frames.pop_front();
          break;
        case 3:
          if (Frame* head = receiver.head()) {
            CHECK_EQUAL(valueOf(*head), consumed);
            ++consumed;
            receiver.pop();
          }
          break;
        case 4:
          if (random() % 3 == 0) acksOnTheWay.push_back(receiver.nextWanted());
          if (!acksOnTheWay.empty()) {
            const std::size_t chosen = random() % acksOnTheWay.size();  // acknowledgements overtake each other too
            CHECK(static_cast<bool>(sender.acknowledge(acksOnTheWay[chosen])));
            acksOnTheWay.erase(acksOnTheWay.begin() + static_cast<std::ptrdiff_t>(chosen));
          }
          break;
        default:
          if (random() % 8 != 0) break;
          // Some of what it carried arrived, the rest did not; its acknowledgements are lost as well.
          lane.frames.clear();
          acksOnTheWay.clear();
          sender.laneLost(lane.id);
          lane.id = nextLane++;
      }
    }
    CHECK_EQUAL(consumed, kTotal);
    CHECK_EQUAL(sender.cost(), 0U);
    CHECK_EQUAL(receiver.held(), 0U);
  }
}

TEST("a duplicate is dropped before and after it was consumed") {
  SendStream sender;
  addData(sender, 1);
  ReceiveStream receiver;
  CHECK(*receiver.accept(copyOf(*sender.nextWaiting())) == ReceiveStream::Taken::fresh);
  CHECK(*receiver.accept(copyOf(*sender.nextWaiting())) == ReceiveStream::Taken::duplicate);
  receiver.pop();
  CHECK(*receiver.accept(copyOf(*sender.nextWaiting())) == ReceiveStream::Taken::duplicate);
  CHECK_EQUAL(receiver.held(), 0U);
}

TEST("a frame far ahead of its channel is refused") {
  ReceiveStream receiver;
  Frame frame;
  frame.header.type = FrameType::data;
  frame.header.sequence = 1ULL << 40;
  CHECK(!receiver.accept(std::move(frame)));
}

TEST("an acknowledgement of what was never sent is refused") {
  SendStream sender;
  addData(sender, 1);
  CHECK(!sender.acknowledge(2));
  SendStream preparing;
  preparing.append(FrameType::data, 10);
  CHECK(!preparing.acknowledge(1));
}

TEST("a block that is ready early goes before one that is still compressed") {
  SendStream sender;
  const std::uint64_t slow = sender.append(FrameType::data, 100);
  addData(sender, 5);
  CHECK_EQUAL(sender.nextWaiting()->header.sequence, slow + 1);
  sender.sent(1, 30);
  CHECK(!sender.hasWaiting());
  CHECK(!sender.nextFillsGap());
  sender.ready(slow, Codec::none, Buffer(100));
  // The peer cannot consume the one that is there already, so a full window must not hold this one back.
  CHECK(sender.nextFillsGap());
  CHECK_EQUAL(sender.nextWaiting()->header.sequence, slow);
}

TEST("a reset carries the cost of what it drops until it is acknowledged") {
  SendStream sender;
  addData(sender, 1);
  sender.sent(1, 28);
  addData(sender, 2);
  const std::uint64_t cost = sender.cost();
  CHECK_EQUAL(sender.endWith(FrameType::reset, Buffer()), 28U);
  CHECK_EQUAL(sender.cost(), cost + kFrameCost);
  CHECK_EQUAL(sender.nextWaiting()->header.sequence, 2U);
  sender.sent(1, 24);
  CHECK_EQUAL(sender.acknowledge(3)->cost, cost + kFrameCost);
  CHECK(sender.allAcknowledged());
}

TEST("stalled channels always leave credit for another one") {
  CreditPool pool(kBulkBudgetBytes);
  CHECK(pool.headroom(0) > kBulkBudgetBytes / 2);
  for (int i = 0; i < 63; ++i) {
    std::uint64_t held = 0;
    while (const std::uint64_t more = std::min<std::uint64_t>(pool.headroom(held), 65536)) {
      pool.take(more);
      held += more;
    }
  }
  CHECK(pool.used() <= pool.budget());
  CHECK(pool.headroom(0) > 32768);
}

TEST("the token bucket holds its rate whatever the frame size") {
  for (const std::uint64_t frame : {std::uint64_t{100}, std::uint64_t{200000}}) {
    TokenBucket bucket(1'000'000, kStart);
    TimePoint now = kStart;
    std::uint64_t sent = 0;
    while (now < kStart + seconds(10)) {
      now += bucket.waitTime(now);
      if (!bucket.mayStart(now)) continue;
      bucket.spend(frame, now);
      sent += frame;
    }
    CHECK(sent > 9'700'000 && sent < 10'300'000);
  }
}

TEST("an unlimited bucket never waits and a new rate counts at once") {
  TokenBucket bucket(0, kStart);
  bucket.spend(1ULL << 40, kStart);
  CHECK(bucket.mayStart(kStart));
  bucket.setRate(1000, kStart);
  bucket.spend(1'000'000, kStart);
  CHECK(bucket.waitTime(kStart) > seconds(900));
  bucket.setRate(100'000'000, kStart);
  CHECK(bucket.waitTime(kStart) < seconds(1));
  bucket.setRate(0, kStart);
  CHECK(bucket.mayStart(kStart));
}

TEST("the window follows the rate of the path and its round trip") {
  InflightWindow window;
  window.setRoundTrip(milliseconds(10));
  TimePoint now = kStart;
  for (int i = 0; i < 1000; ++i) {
    now += milliseconds(1);
    window.delivered(100'000, true, now);  // 100 MB/s
  }
  const std::uint64_t limit = window.limitBytes();
  CHECK(limit > 2'700'000 && limit < 3'300'000);
  now += seconds(30);  // a cut link
  window.delivered(100'000, true, now);
  CHECK(window.limitBytes() > 2'700'000);
  for (int i = 0; i < 4000; ++i) {
    now += milliseconds(1);
    window.delivered(10'000, true, now);
  }
  CHECK(window.limitBytes() < 400'000);
}

TEST("little traffic does not shrink the window") {
  InflightWindow window;
  TimePoint now = kStart;
  for (int i = 0; i < 1000; ++i) window.delivered(100'000, true, now += milliseconds(1));
  const std::uint64_t before = window.rate();
  for (int i = 0; i < 1000; ++i) window.delivered(100, false, now += milliseconds(1));
  CHECK_EQUAL(window.rate(), before);
}

TEST("incompressible data is left alone for longer each time") {
  CompressionPolicy policy({});
  CompressionPolicy::Channel channel;
  std::uint64_t compressed = 0;
  constexpr std::uint64_t kBlock = 256 << 10;
  for (int i = 0; i < 4000; ++i) {
    if (policy.judge(channel, kBlock, false, false, kStart) == CompressionPolicy::Verdict::compress) {
      compressed += kBlock;
      policy.encoded(channel, kBlock, kBlock, milliseconds(1));
    }
  }
  CHECK(compressed < 4000 * kBlock / 50);
}

TEST("compression steps aside on a fast link and comes back on a slow one") {
  CompressionPolicy policy({});
  CompressionPolicy::Channel channel;
  constexpr std::uint64_t kBlock = 256 << 10;
  CHECK(policy.judge(channel, kBlock, false, true, kStart) == CompressionPolicy::Verdict::compress);
  policy.encoded(channel, kBlock, kBlock / 3, microseconds(500));  // 500 MB/s
  for (int tick = 0; tick < 3; ++tick) {
    CHECK(policy.judge(channel, kBlock, true, true, kStart) == CompressionPolicy::Verdict::raw);
    policy.observeLink(0.0, 2'000'000'000);
    if (policy.steppedAside()) break;
  }
  CHECK(policy.steppedAside());
  for (int tick = 0; tick < 2; ++tick) policy.observeLink(1.0, 120'000'000);
  CHECK(!policy.steppedAside());
  CHECK(policy.judge(channel, kBlock, true, false, kStart) == CompressionPolicy::Verdict::wait);
}

TEST("compression that is always on never steps aside, waits for a busy encoder, and still leaves out what does not shrink") {
  CompressionPolicy policy({CompressionMode::always, 1});
  CompressionPolicy::Channel channel;
  constexpr std::uint64_t kBlock = 256 << 10;
  for (int tick = 0; tick < 10; ++tick) {
    CHECK(policy.judge(channel, kBlock, true, true, kStart) == CompressionPolicy::Verdict::wait);
    CHECK(policy.judge(channel, kBlock, false, true, kStart) == CompressionPolicy::Verdict::compress);
    policy.encoded(channel, kBlock, kBlock / 3, seconds(1));
    policy.observeLink(0.0, 2'000'000'000);
  }
  CHECK(!policy.steppedAside());
  policy.encoded(channel, kBlock, kBlock, milliseconds(1));
  CHECK(policy.judge(channel, kBlock, false, false, kStart) == CompressionPolicy::Verdict::raw);
}

TEST("compression that is off stays off") {
  CompressionPolicy policy({CompressionMode::off, 1});
  CompressionPolicy::Channel channel;
  CHECK(policy.judge(channel, 1000, false, false, kStart) == CompressionPolicy::Verdict::raw);
}

TEST("finished channels are remembered out of order") {
  FinishedChannels finished;
  finished.add(1);
  finished.add(3);
  CHECK(finished.contains(1) && finished.contains(3) && !finished.contains(2));
  finished.add(2);
  CHECK(finished.contains(2) && !finished.contains(4));
  CHECK(finished.plausible(4) && !finished.plausible(0xffffffff));
}

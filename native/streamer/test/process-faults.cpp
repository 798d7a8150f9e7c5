#include <signal.h>

#include <thread>

#include "support/harness.hpp"
#include "support/pair.hpp"

using namespace test;

namespace {

PairSettings proxied() {
  PairSettings settings;
  settings.throughProxy = true;
  return settings;
}

void awaitForwarded(Pair& pair, std::uint64_t more) {
  const std::uint64_t start = pair.proxy().forwarded();
  await("bytes to flow", [&] { return pair.proxy().forwarded() > start + more; });
}

}  // namespace

TEST("lanes cut again and again in mid-transfer lose nothing") {
  PairSettings settings = proxied();
  settings.source.bandwidth = settings.destination.bandwidth = 24 << 20;
  Pair pair(settings);
  exchange(pair.connect("ram"), randomBytes(24 << 20, 1), randomBytes(12 << 20, 2), [&] {
    for (int i = 0; i < 5; ++i) {
      awaitForwarded(pair, 2 << 20);
      if (i % 2 == 0) {
        pair.proxy().cutOne();
      } else {
        pair.proxy().cutAll();
      }
    }
  });
  CHECK(number(pair.source().status(), "reconnects") > 0);
}

TEST("garbage in a lane costs the lane and nothing else") {
  PairSettings settings = proxied();
  settings.source.bandwidth = settings.destination.bandwidth = 12 << 20;  // slow enough to hit it in its middle
  Pair pair(settings);
  exchange(pair.connect("ram"), randomBytes(12 << 20, 1), randomBytes(6 << 20, 2), [&] {
    awaitForwarded(pair, 1 << 20);
    pair.proxy().injectGarbage();
    awaitForwarded(pair, 1 << 20);
    pair.proxy().injectGarbage();
  });
}

TEST("a silent link stalls the transfer and it goes on afterwards") {
  PairSettings settings = proxied();
  settings.source.bandwidth = 24 << 20;
  Pair pair(settings);
  exchange(pair.connect("ram"), randomBytes(24 << 20, 1), randomBytes(1000, 2), [&] {
    awaitForwarded(pair, 2 << 20);
    pair.proxy().setMode(ChaosProxy::Mode::stall);
    // Nobody says that the link is gone: the pings have to find out.
    pair.source().awaitState("reconnecting");
    pair.destination().awaitState("reconnecting");
    pair.proxy().cutAll();
    pair.proxy().setMode(ChaosProxy::Mode::forward);
  });
  CHECK(number(pair.source().status(), "stalledMs") > 0);
  CHECK_EQUAL(pair.source().state(), "connected");
}

TEST("a link that stays away for too long fails both sides") {
  PairSettings settings = proxied();
  settings.source.reconnectTimeoutMs = settings.destination.reconnectTimeoutMs = 1500;
  Pair pair(settings);
  const Pair::Ends ends = pair.connect("ram");
  sendAll(ends.source, "x");
  CHECK_EQUAL(receiveSome(ends.destination), "x");
  pair.proxy().setMode(ChaosProxy::Mode::refuse);
  pair.proxy().cutAll();
  CHECK_EQUAL(pair.source().process().wait(), 1);
  CHECK_EQUAL(pair.destination().process().wait(), 1);
  CHECK_EQUAL(pair.source().failureCode(), "LINK_LOST");
  const std::string code = pair.destination().failureCode();
  CHECK(code == "LINK_LOST" || code == "PEER_GONE");
  CHECK_EQUAL(receiveAll(ends.destination), "");
}

TEST("a destination that was killed is noticed") {
  Pair pair;
  const Pair::Ends ends = pair.connect("ram");
  pair.source().awaitState("connected");
  pair.destination().process().signal(SIGKILL);
  CHECK_EQUAL(pair.source().process().wait(), 1);
  CHECK_EQUAL(pair.source().failureCode(), "PEER_GONE");
}

TEST("a source that was killed is noticed") {
  PairSettings settings;
  settings.destination.reconnectTimeoutMs = 1000;
  Pair pair(settings);
  const Pair::Ends ends = pair.connect("ram");
  pair.source().process().signal(SIGKILL);
  CHECK_EQUAL(pair.destination().process().wait(), 1);
  CHECK_EQUAL(pair.destination().failureCode(), "PEER_GONE");
}

TEST("a restarted source is refused and both sides fail") {
  Pair pair;
  const Pair::Ends ends = pair.connect("ram");
  pair.source().process().signal(SIGKILL);
  pair.source().process().wait();
  pair.startSource();
  CHECK_EQUAL(pair.source().process().wait(), 1);
  CHECK_EQUAL(pair.source().failureCode(), "PEER_GONE");
  CHECK_EQUAL(pair.destination().process().wait(), 1);
  CHECK_EQUAL(pair.destination().failureCode(), "PEER_GONE");
}

TEST("a restarted destination is refused") {
  PairSettings settings = proxied();
  Pair pair(settings);
  {
    const Pair::Ends ends = pair.connect("ram");
    pair.proxy().setMode(ChaosProxy::Mode::refuse);
    pair.proxy().cutAll();
    pair.source().awaitState("reconnecting");
  }
  const auto port = static_cast<std::uint16_t>(number(pair.destination().status(), "listenPort"));
  pair.destination().process().signal(SIGKILL);
  pair.destination().process().wait();
  Node again(pair.folder() + "/d", "destination", pair.settings().destination, port);
  await("the new destination", [&] { return number(again.status(), "pid") == static_cast<std::uint64_t>(again.process().pid()) && again.state() == "listening"; });
  CHECK_EQUAL(number(again.status(), "listenPort"), port);
  pair.proxy().setMode(ChaosProxy::Mode::forward);
  CHECK_EQUAL(pair.source().process().wait(), 1);
  CHECK_EQUAL(pair.source().failureCode(), "PEER_GONE");
}

TEST("a destination nobody reaches is PEER_UNREACHABLE") {
  PairSettings settings = proxied();
  settings.source.connectTimeoutMs = 800;
  settings.startSource = false;
  Pair pair(settings);
  pair.destination().process().signal(SIGKILL);
  pair.destination().process().wait();
  pair.startSource();
  CHECK_EQUAL(pair.source().process().wait(), 1);
  CHECK_EQUAL(pair.source().failureCode(), "PEER_UNREACHABLE");
}

TEST("a stopped process resumes its transfer when it goes on") {
  PairSettings settings;
  settings.source.bandwidth = 24 << 20;
  Pair pair(settings);
  exchange(pair.connect("ram"), randomBytes(24 << 20, 1), "ok", [&] {
    await("bytes", [&] { return number(pair.source().status(), "rawBytesSent") > 0; });
    pair.destination().process().signal(SIGSTOP);
    pair.source().awaitState("reconnecting");
    pair.destination().process().signal(SIGCONT);
  });
}

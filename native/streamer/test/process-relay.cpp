#include <signal.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <thread>

#include "support/harness.hpp"
#include "support/pair.hpp"

using namespace test;

namespace {

#ifdef STREAMER_SANITIZED
constexpr std::size_t kLarge = 24 << 20;
#else
constexpr std::size_t kLarge = 128 << 20;
#endif

}  // namespace

TEST("random data goes both ways at once and arrives whole") {
  Pair pair;
  exchange(pair.connect("ram"), randomBytes(kLarge, 1), randomBytes(kLarge / 2, 2));
}

TEST("compressible data arrives whole and small") {
  PairSettings settings;
  settings.source.compression = "always";  // "auto" steps aside where the machine is busy, rightly
  Pair pair(settings);
  constexpr std::size_t kSize = 24 << 20;
  exchange(pair.connect("ram"), textBytes(kSize, 1), "answer");
  CHECK(number(pair.source().request(R"({"id":1,"method":"status"})"), "wireBytesSent") < kSize / 2);
}

TEST("a half-closed connection still carries the other way") {
  Pair pair;
  const Pair::Ends ends = pair.connect("ram");
  sendAll(ends.source, "request");
  endSending(ends.source);
  CHECK_EQUAL(receiveAll(ends.destination), "request");
  sendAll(ends.destination, "one");
  CHECK_EQUAL(receiveSome(ends.source), "one");
  sendAll(ends.destination, "two");
  endSending(ends.destination);
  CHECK_EQUAL(receiveAll(ends.source), "two");
  await("the channel to be closed", [&] { return pair.source().status().find("\"state\":\"closed\"") != std::string::npos; });
}

TEST("the end is carried in the other direction first, too") {
  Pair pair;
  const Pair::Ends ends = pair.connect("lv");
  endSending(ends.destination);
  CHECK_EQUAL(receiveAll(ends.source), "");
  sendAll(ends.source, "still here");
  endSending(ends.source);
  CHECK_EQUAL(receiveAll(ends.destination), "still here");
}

TEST("many channels at once keep their bytes apart") {
  Pair pair;
  std::vector<Pair::Ends> all;
  for (int i = 0; i < 40; ++i) all.push_back(pair.connect(i % 3 == 0 ? "lv" : i % 3 == 1 ? "ram" : "nbd"));
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    threads.emplace_back([&, i] {
      try {
        const auto seed = static_cast<unsigned>(i);
        exchange(all[i], randomBytes(300'000 + i * 1000, seed), textBytes(200'000, seed));
        ++good;
      } catch (const std::exception&) {
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_EQUAL(good.load(), 40);
}

TEST("hundreds of short channels leave nothing behind") {
  Pair pair;
  const auto descriptors = [&] {
    return std::distance(std::filesystem::directory_iterator("/proc/" + std::to_string(pair.source().process().pid()) + "/fd"),
                         std::filesystem::directory_iterator());
  };
  exchange(pair.connect("lv"), "warm", "up");
  const auto before = descriptors();
  for (int i = 0; i < 200; ++i) exchange(pair.connect("lv"), "ping", "pong");
  await("all channels to be closed",
        [&] {
          const std::string status = pair.source().request(R"({"id":1,"method":"status"})");
          return status.find("\"open\"") == std::string::npos && status.find("\"channels\":201") != std::string::npos;
        });
  CHECK(descriptors() <= before + 1);
}

TEST("a closed local socket resets the channel at the other end") {
  Pair pair;
  Pair::Ends ends = pair.connect("ram");
  sendAll(ends.source, "x");
  CHECK_EQUAL(receiveSome(ends.destination), "x");
  ends.destination.reset();
  await("writing to fail", [&] {
    try {
      sendAll(ends.source, std::string(10000, 'y'));
      return false;
    } catch (const Failure&) {
      return true;
    }
  });
  exchange(pair.connect("ram"), "next", "one");
}

TEST("a service that is missing at the destination refuses the channel with a reason") {
  Pair pair;
  const Fd fd = connectTo(pair.source().service("nbd"));
  CHECK_EQUAL(receiveAll(fd), "");
  await("the reason in the log", [&] { return pair.source().log().find("No such file") != std::string::npos; });
  exchange(pair.connect("ram"), "others", "work");
}

TEST("a service that appears a moment later is waited for, and what was sent already is not lost") {
  Pair pair;
  const Fd fd = connectTo(pair.source().service("nbd"));
  sendAll(fd, "early");
  await("the channel at the destination", [&] { return pair.destination().status().find("\"nbd\",\"state\":\"open\"") != std::string::npos; });
  const Fd listener = listenOn(pair.destination().service("nbd"));
  const Fd served = acceptOn(listener);
  CHECK_EQUAL(receiveSome(served), "early");
}

TEST("a reader that stalls one channel stops neither bulk nor interactive ones, and memory stays bounded") {
  Pair pair;
  const Pair::Ends stalled = pair.connect("ram");
  std::thread writer([&] {
    try {
      sendAll(stalled.source, randomBytes(64 << 20, 1));
    } catch (const std::exception&) {
    }
  });
  std::string failure;
  try {
    // Until the stalled one has taken all it can get.
    const std::string statusRequest = R"({"id":1,"method":"status"})";
    std::uint64_t before = 1;
    unsigned same = 0;
    await("the stall", [&] {
      const std::uint64_t now = number(pair.source().request(statusRequest), "rawBytesSent");
      return now > (1 << 17) && (same = now == std::exchange(before, now) ? same + 1 : 0) > 20;
    }, std::chrono::seconds(20));
    exchange(pair.connect("nbd"), randomBytes(kLarge / 4, 2), "ok");
    exchange(pair.connect("lv"), "request", "answer");
#ifndef STREAMER_SANITIZED
    for (Node* node : {&pair.source(), &pair.destination()}) {
      const std::string status = readFile("/proc/" + std::to_string(node->process().pid()) + "/status");
      const std::uint64_t residentKiB = std::strtoull(status.substr(status.find("VmHWM:") + 6).c_str(), nullptr, 10);
      CHECK(residentKiB < 64 << 10);
    }
#endif
  } catch (const std::exception& thrown) {
    failure = thrown.what();
  }
  pair.source().process().signal(SIGKILL);
  writer.join();
  CHECK_EQUAL(failure, "");
}

TEST("an interactive exchange is quick while bulk fills a slow link") {
  PairSettings settings;
  settings.source.bandwidth = 4 << 20;
  settings.source.lanes = 1;
  Pair pair(settings);
  const Pair::Ends bulk = pair.connect("ram");
  std::thread writer([&] {
    try {
      sendAll(bulk.source, randomBytes(64 << 20, 1));
    } catch (const std::exception&) {
    }
  });
  std::thread reader([&] {
    try {
      receiveAll(bulk.destination);
    } catch (const std::exception&) {
    }
  });
  std::string failure;
  std::vector<double> times;
  try {
    await("bulk to flow", [&] { return number(pair.source().status(), "wireBytesSent") > (1 << 20); });
    const Pair::Ends ends = pair.connect("lv");
    for (int i = 0; i < 20; ++i) {
      const auto start = std::chrono::steady_clock::now();
      sendAll(ends.source, "request");
      receiveSome(ends.destination);
      sendAll(ends.destination, "answer");
      receiveSome(ends.source);
      times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
  } catch (const std::exception& thrown) {
    failure = thrown.what();
  }
  pair.source().process().signal(SIGKILL);
  writer.join();
  pair.destination().process().signal(SIGKILL);
  reader.join();
  CHECK_EQUAL(failure, "");
  std::ranges::sort(times);
#ifdef STREAMER_SANITIZED
  CHECK(times[10] < 200);
#else
  CHECK(times[10] < 60);
#endif
}

#include <signal.h>
#include <sys/stat.h>

#include <filesystem>
#include <thread>

#include "support/harness.hpp"
#include "support/pair.hpp"

using namespace test;

namespace {

constexpr const char* kStatus = R"({"id":7,"method":"status","params":{}})";

}  // namespace

TEST("status is the same over the socket and in the file") {
  Pair pair;
  exchange(pair.connect("ram"), "abc", "defg");
  await("both totals", [&] { return number(pair.source().request(kStatus), "rawBytesReceived") == 4; });
  const std::string answer = pair.source().request(kStatus);
  CHECK_EQUAL(number(answer, "id"), 7U);
  CHECK_EQUAL(member(answer, "state"), "connected");
  CHECK_EQUAL(number(answer, "pid"), static_cast<std::uint64_t>(pair.source().process().pid()));
  CHECK(number(answer, "startTicks") > 0);
  CHECK_EQUAL(member(answer, "bootId").size(), 36U);
  CHECK_EQUAL(number(answer, "protocolVersion"), 1U);
  await("the round trip to be measured", [&] { return number(pair.source().request(kStatus), "rttMicros") > 0; });
  await("the file to follow", [&] { return number(pair.source().status(), "rawBytesReceived") == 4; });
  struct stat info {};
  CHECK(::stat((pair.source().directory() + "/control.sock").c_str(), &info) == 0 && (info.st_mode & 0777) == 0600);
  CHECK(::stat(pair.source().service("ram").c_str(), &info) == 0 && (info.st_mode & 0777) == 0600);
}

TEST("the bandwidth limit is kept and can be changed while bytes flow") {
  PairSettings settings;
  settings.source.bandwidth = 4 << 20;
  settings.source.compression = "off";
  Pair pair(settings);
  exchange(pair.connect("ram"), randomBytes(40 << 20, 1), "ok", [&] {
    const auto wire = [&] { return number(pair.source().request(kStatus), "wireBytesSent"); };
    const auto rate = [&] {
      const auto start = std::chrono::steady_clock::now();
      const std::uint64_t before = wire();
      await("a second of traffic", [&] { return std::chrono::steady_clock::now() - start > std::chrono::seconds(1); });
      const std::uint64_t after = wire();
      return static_cast<double>(after - before) /
             std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / (1 << 20);
    };
    await("traffic", [&] { return wire() > (1 << 20); });
    const double slow = rate();
    CHECK(slow > 2.5 && slow < 5);
    CHECK_EQUAL(member(pair.source().request(R"({"id":1,"method":"setBandwidth","params":{"bytesPerSecond":12582912}})"), "id"), "1");
    const double faster = rate();
    CHECK(faster > 8 && faster < 15);
    pair.source().request(R"({"id":1,"method":"setBandwidth","params":{"bytesPerSecond":0}})");
  });
}

TEST("compression can be switched while bytes flow") {
  PairSettings settings;
  settings.source.bandwidth = 20 << 20;
  settings.source.compression = "off";
  Pair pair(settings);
  exchange(pair.connect("ram"), textBytes(24 << 20, 1), "ok", [&] {
    await("raw bytes", [&] { return number(pair.source().request(kStatus), "skippedBytes") > (1 << 20); });
    pair.source().request(R"({"id":1,"method":"setCompression","params":{"mode":"always","level":3}})");
    await("compressed bytes", [&] { return number(pair.source().request(kStatus), "rawBytesIn") > (1 << 20); });
  });
}

TEST("stop ends both sides in order") {
  Pair pair;
  exchange(pair.connect("ram"), "abc", "def");
  await("the channel to be closed", [&] { return pair.destination().status().find("\"closed\"") != std::string::npos; });
  CHECK_EQUAL(member(pair.source().request(R"({"id":1,"method":"stop"})"), "result"), "{");
  CHECK_EQUAL(pair.source().process().wait(), 0);
  CHECK_EQUAL(pair.destination().process().wait(), 0);
  CHECK_EQUAL(pair.source().state(), "finished");
  CHECK_EQUAL(pair.destination().state(), "finished");
  CHECK(!std::filesystem::exists(pair.source().directory() + "/control.sock"));
  CHECK(!std::filesystem::exists(pair.source().service("ram")));
}

TEST("SIGTERM ends in order, SIGHUP does nothing") {
  Pair pair;
  exchange(pair.connect("ram"), "abc", "def");
  pair.destination().process().signal(SIGHUP);
  await("the channel to be closed", [&] { return pair.source().status().find("\"closed\"") != std::string::npos; });
  pair.destination().process().signal(SIGTERM);
  CHECK_EQUAL(pair.destination().process().wait(), 0);
  CHECK_EQUAL(pair.source().process().wait(), 0);
}

TEST("a stop with open channels is a failure for the other side") {
  Pair pair;
  const Pair::Ends ends = pair.connect("ram");
  pair.source().process().signal(SIGTERM);
  CHECK_EQUAL(pair.source().process().wait(), 0);
  CHECK_EQUAL(pair.destination().process().wait(), 1);
  CHECK_EQUAL(pair.destination().failureCode(), "PEER_STOPPED");
}

TEST("abort reaches the peer with its reason") {
  Pair pair;
  const Pair::Ends ends = pair.connect("ram");
  pair.source().request(R"({"id":1,"method":"abort","params":{"reason":"operator said so"}})");
  CHECK_EQUAL(pair.source().process().wait(), 4);
  CHECK_EQUAL(pair.destination().process().wait(), 1);
  CHECK_EQUAL(pair.source().failureCode(), "ABORTED");
  CHECK_EQUAL(pair.destination().failureCode(), "ABORTED");
  CHECK(pair.destination().status().find("operator said so") != std::string::npos);
  CHECK_EQUAL(receiveAll(ends.destination), "");
}

TEST("both sides end by themselves when the last channel is long closed") {
  PairSettings settings;
  settings.source.lingerMs = 300;
  Pair pair(settings);
  exchange(pair.connect("ram"), "abc", "def");
  CHECK_EQUAL(pair.source().process().wait(), 0);
  CHECK_EQUAL(pair.destination().process().wait(), 0);
}

TEST("a transfer without a channel ends with a reason") {
  PairSettings settings;
  settings.source.firstChannelTimeoutMs = 300;
  Pair pair(settings);
  CHECK_EQUAL(pair.source().process().wait(), 1);
  CHECK_EQUAL(pair.source().failureCode(), "TIMED_OUT");
}

TEST("garbage, long lines and clients that never read harm neither control nor transfer") {
  Pair pair;
  exchange(pair.connect("ram"), randomBytes(8 << 20, 1), randomBytes(8 << 20, 2), [&] {
    const std::string socket = pair.source().directory() + "/control.sock";
    std::vector<Fd> clients;
    for (int i = 0; i < 40; ++i) {
      clients.push_back(connectTo(socket));
      try {
        if (i % 4 == 0) sendAll(clients.back(), randomBytes(200'000, 5));
        if (i % 4 == 1) sendAll(clients.back(), std::string(100'000, 'x'));
        if (i % 4 == 2) sendAll(clients.back(), "{\"id\":1");
        if (i % 4 == 3) {
          for (int n = 0; n < 500; ++n) sendAll(clients.back(), std::string(kStatus) + "\n");
        }
      } catch (const Failure&) {
        // cut off, as it should be
      }
    }
    CHECK_EQUAL(member(pair.source().request(kStatus), "id"), "7");
    CHECK_EQUAL(member(pair.source().request("nonsense"), "code"), "INVALID_REQUEST");
  });
}

TEST("a second process for the same transfer refuses to start, and a dead one's socket is replaced") {
  Pair pair;
  pair.source().awaitState("connected");
  Process second({STREAMER_PROGRAM, "--config", pair.source().configFile()}, pair.folder() + "/second.log");
  CHECK_EQUAL(second.wait(), 3);
  CHECK(readFile(pair.folder() + "/second.log").find("ALREADY_RUNNING") != std::string::npos);
  CHECK_EQUAL(pair.source().state(), "connected");
  pair.destination().process().signal(SIGKILL);
  pair.destination().process().wait();
  CHECK(std::filesystem::exists(pair.destination().directory() + "/control.sock"));
  pair.restartDestination();
  CHECK(!pair.destination().request(kStatus).empty());
}

TEST("a bad configuration or command line ends with its own code") {
  const TemporaryFolder folder;
  writeFile(folder.path() + "/bad.json", "{\"version\":2}");
  CHECK_EQUAL(Process({STREAMER_PROGRAM, "--config", folder.path() + "/bad.json"}, folder.path() + "/log").wait(), 2);
  CHECK_EQUAL(Process({STREAMER_PROGRAM, "--config", folder.path() + "/none.json"}, folder.path() + "/log").wait(), 2);
  CHECK_EQUAL(Process({STREAMER_PROGRAM}, folder.path() + "/log").wait(), 2);
  CHECK_EQUAL(Process({STREAMER_PROGRAM, "--help"}, folder.path() + "/log").wait(), 0);
}

TEST("a status file that cannot be written does not stop the transfer") {
  Pair pair;
  pair.source().awaitState("connected");
  // Not even root can create a file over a folder. The streamer may be writing one there at this moment.
  const std::string temporary = pair.source().directory() + "/status.json.tmp";
  std::error_code occupied;
  await("room for a folder", [&] { return std::filesystem::create_directory(temporary, occupied); });
  exchange(pair.connect("ram"), randomBytes(1 << 20, 1), "ok");
  await("the warning", [&] { return pair.source().log().find("Status not written") != std::string::npos; });
  std::filesystem::remove(temporary);
  await("the status to be written again", [&] { return number(pair.source().status(), "rawBytesSent") == (1 << 20); });
}

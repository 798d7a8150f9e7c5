/*
 * Throughput over loopback: unix socket in, unix socket out. Compares a plain copy, a plain TLS relay and the streamer in
 * one run, on data that does not compress and on data that does. Prints a table, and JSON as the last line.
 * streamer-bench [MiB per transfer] [runs]
 */

#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include "base/json-writer.hpp"
#include "support/pair.hpp"
#include "tls-pipe.hpp"

namespace {

using test::Fd;

struct Outcome {
  double megabytesPerSecond = 0;
  double cpuSeconds = 0;
  double wireRatio = 1;
};

double childCpuSeconds() {
  rusage usage{};
  ::getrusage(RUSAGE_CHILDREN, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/** Writes `total` bytes into one end and reads them from the other; returns MB/s. */
double transfer(const Fd& in, const Fd& out, const std::string& block, std::size_t total) {
  const auto start = std::chrono::steady_clock::now();
  std::thread writer([&] {
    for (std::size_t sent = 0; sent < total; sent += block.size()) test::sendAll(in, block);
    test::endSending(in);
  });
  std::vector<char> buffer(1 << 20);
  std::size_t received = 0;
  while (true) {
    const ssize_t got = ::recv(out.get(), buffer.data(), buffer.size(), 0);
    if (got <= 0) break;
    received += static_cast<std::size_t>(got);
  }
  const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  writer.join();
  if (received != total) std::fprintf(stderr, "Only %zu of %zu bytes arrived\n", received, total);
  return static_cast<double>(received) / elapsed / 1e6;
}

Outcome runPlainPipe(const std::string& block, std::size_t total, bool encrypted) {
  const test::TemporaryFolder folder;
  const Fd listener = test::listenOn(folder.path() + "/out.sock");
  std::random_device random;
  const test::TestIdentities& identities = test::identities();
  const bench::TlsPipe pipe{folder.path() + "/in.sock", folder.path() + "/out.sock",
                            static_cast<std::uint16_t>(40000 + random() % 9000), identities.ca.file(), identities.a,
                            identities.b, encrypted};
  const double before = childCpuSeconds();
  std::thread relay([&] { bench::runPipe(pipe); });
  Outcome outcome;
  {
    const Fd in = test::connectTo(pipe.listenPath);
    const Fd out = test::acceptOn(listener);
    outcome.megabytesPerSecond = transfer(in, out, block, total);
  }
  relay.join();
  outcome.cpuSeconds = childCpuSeconds() - before;
  return outcome;
}

Outcome runStreamer(const std::string& block, std::size_t total, const std::string& compression, std::uint64_t limit) {
  const double before = childCpuSeconds();
  Outcome outcome;
  {
    test::PairSettings settings;
    settings.source.compression = compression;
    settings.source.bandwidth = limit;
    test::Pair pair(settings);
    const test::Pair::Ends ends = pair.connect("ram");
    outcome.megabytesPerSecond = transfer(ends.source, ends.destination, block, total);
    outcome.wireRatio = static_cast<double>(test::number(
                            pair.source().request(R"({"id":1,"method":"status"})"), "wireBytesSent")) /
                        static_cast<double>(total);
    pair.source().process().signal(SIGTERM);
    pair.source().process().wait();
    pair.destination().process().wait();
  }
  outcome.cpuSeconds = childCpuSeconds() - before;
  return outcome;
}

Outcome median(std::vector<Outcome> outcomes) {
  std::ranges::sort(outcomes, {}, &Outcome::megabytesPerSecond);
  return outcomes[outcomes.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t mebibytes = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 1024;
  const std::size_t runs = argc > 2 ? std::max(1UL, std::strtoul(argv[2], nullptr, 10)) : 3;
  constexpr std::uint64_t kGigabit = 125'000'000;
  const std::size_t total = mebibytes << 20;
  streamer::JsonWriter json;
  json.beginObject().field("mebibytes", mebibytes).field("runs", runs).key("results").beginArray();
  std::printf("%-14s %-30s %10s %10s %10s %10s\n", "data", "way", "MB/s", "to TLS", "CPU s", "wire/raw");
  for (const char* data : {"incompressible", "compressible"}) {
    const std::string block =
        data[0] == 'i' ? test::randomBytes(1 << 20, 1) : test::textBytes(1 << 20, 1);
    double tlsRate = 0;
    struct Way {
      const char* name;
      std::function<Outcome()> run;
    };
    const std::vector<Way> ways{
        {"plain TLS relay", [&] { return runPlainPipe(block, total, true); }},
        {"plain copy", [&] { return runPlainPipe(block, total, false); }},
        {"streamer, compression off", [&] { return runStreamer(block, total, "off", 0); }},
        {"streamer, compression auto", [&] { return runStreamer(block, total, "auto", 0); }},
        {"streamer, auto, 1 Gbit/s", [&] { return runStreamer(block, total / 2, "auto", kGigabit); }},
    };
    // Rounds and not blocks of one way each, so that what else the machine does hits all alike.
    std::vector<std::vector<Outcome>> outcomes(ways.size());
    for (std::size_t run = 0; run < runs; ++run) {
      for (std::size_t way = 0; way < ways.size(); ++way) outcomes[way].push_back(ways[way].run());
    }
    for (std::size_t way = 0; way < ways.size(); ++way) {
      const Outcome outcome = median(outcomes[way]);
      if (way == 0) tlsRate = outcome.megabytesPerSecond;
      const double ratio = outcome.megabytesPerSecond / tlsRate;
      std::printf("%-14s %-30s %10.0f %10.2f %10.2f %10.3f\n", data, ways[way].name, outcome.megabytesPerSecond, ratio,
                  outcome.cpuSeconds, outcome.wireRatio);
      json.beginObject().field("data", data).field("way", ways[way].name);
      json.key("megabytesPerSecond").raw(std::to_string(outcome.megabytesPerSecond));
      json.key("toTlsRelay").raw(std::to_string(ratio)).key("cpuSeconds").raw(std::to_string(outcome.cpuSeconds));
      json.key("wireToRaw").raw(std::to_string(outcome.wireRatio)).endObject();
    }
  }
  json.endArray().endObject();
  std::printf("%s\n", json.text().c_str());
  return 0;
}

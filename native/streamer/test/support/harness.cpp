#include "support/harness.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace test {
namespace {

struct Entry {
  const char* name;
  std::function<void()> body;
};

std::vector<Entry>& entries() {
  static std::vector<Entry> all;
  return all;
}

}  // namespace

Registration::Registration(const char* name, std::function<void()> body) { entries().push_back({name, std::move(body)}); }

void fail(const char* file, int line, const std::string& what) {
  throw Failure(std::string(file) + ":" + std::to_string(line) + ": " + what);
}

int runAll(int argc, char** argv) {
  std::string_view filter;
  std::size_t shard = 0;
  std::size_t shards = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--shard" && i + 1 < argc) {
      char* end = nullptr;
      shard = std::strtoul(argv[++i], &end, 10);
      shards = *end == '/' ? std::strtoul(end + 1, nullptr, 10) : 1;
    } else {
      filter = argument;
    }
  }
  int passed = 0;
  int failed = 0;
  for (std::size_t i = 0; i < entries().size(); ++i) {
    const Entry& entry = entries()[i];
    if (i % shards != shard || std::string_view(entry.name).find(filter) == std::string_view::npos) continue;
    const auto start = std::chrono::steady_clock::now();
    std::string error;
    try {
      entry.body();
    } catch (const std::exception& thrown) {
      error = thrown.what();
    }
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
    std::printf("%s %s (%lld ms)\n", error.empty() ? "ok  " : "FAIL", entry.name, static_cast<long long>(took.count()));
    if (!error.empty()) std::printf("  %s\n", error.c_str());
    std::fflush(stdout);
    ++(error.empty() ? passed : failed);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}

}  // namespace test


#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "base/fd.hpp"

namespace test {

using streamer::Fd;

/** How long a test waits for something that should happen soon; sanitizers on a busy machine are slow. */
inline constexpr std::chrono::seconds kPatience{25};

/** Waits for a condition; fails the test with `what` when it does not come true. */
void await(const std::string& what, const std::function<bool()>& condition, std::chrono::milliseconds limit = kPatience);

/** A running program that dies with this object. */
class Process {
 public:
  Process(const std::vector<std::string>& arguments, const std::string& logFile);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  bool running();
  void signal(int number);
  /** Waits for the end; returns the exit code, or minus the signal. */
  int wait();

 private:
  pid_t pid_ = -1;
  std::optional<int> result_;
};

class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::string readFile(const std::string& path);
void writeFile(const std::string& path, const std::string& text);

/** The text of a member of flat JSON: its first occurrence, without quotes. */
std::string member(const std::string& json, std::string_view name);
std::uint64_t number(const std::string& json, std::string_view name);

// Blocking sockets that give up after kPatience.
Fd listenOn(const std::string& path);
Fd acceptOn(const Fd& listener);
Fd connectTo(const std::string& path);
void sendAll(const Fd& fd, std::string_view data);
std::string receiveSome(const Fd& fd, std::size_t most = 65536);
/** Everything until the end; a broken connection fails the test. */
std::string receiveAll(const Fd& fd);
void endSending(const Fd& fd);

/** Repeatable bytes that do not compress, or that do. */
std::string randomBytes(std::size_t size, unsigned seed);
std::string textBytes(std::size_t size, unsigned seed);
std::uint64_t hashOf(std::string_view data);

}  // namespace test

#include "support/process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "support/harness.hpp"

extern char** environ;

namespace test {
namespace {

void limitWaiting(const Fd& fd) {
  const timeval limit{kPatience.count(), 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

sockaddr_un addressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) throw Failure("Path too long: " + path);
  std::memcpy(address.sun_path, path.c_str(), path.size());
  return address;
}

[[noreturn]] void failErrno(const std::string& what) { throw Failure(what + ": " + std::strerror(errno)); }

}  // namespace

void await(const std::string& what, const std::function<bool()>& condition, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) throw Failure("Waited in vain for: " + what);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

Process::Process(const std::vector<std::string>& arguments, const std::string& logFile) {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 2, logFile.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  std::vector<std::string> copies = arguments;
  std::vector<char*> argv;
  for (std::string& copy : copies) argv.push_back(copy.data());
  argv.push_back(nullptr);
  const int error = ::posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw Failure("Cannot start " + arguments[0]);
}

Process::~Process() {
  if (!result_) {
    signal(SIGKILL);
    wait();
  }
}

bool Process::running() {
  if (result_) return false;
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) != pid_) return true;
  result_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return false;
}

void Process::signal(int number) {
  if (!result_) ::kill(pid_, number);
}

int Process::wait() {
  await("the end of a process", [this] { return !running(); });
  return *result_;
}

TemporaryFolder::TemporaryFolder() {
  std::string name = std::filesystem::temp_directory_path().string() + "/streamer-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) failErrno("mkdtemp");
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string readFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void writeFile(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

std::string member(const std::string& json, std::string_view name) {
  const std::string key = "\"" + std::string(name) + "\":";
  const std::size_t at = json.find(key);
  if (at == std::string::npos) return "";
  const std::string rest = json.substr(at + key.size());
  if (rest[0] == '"') return rest.substr(1, rest.find('"', 1) - 1);
  return rest.substr(0, rest.find_first_of(",}]"));
}

std::uint64_t number(const std::string& json, std::string_view name) {
  const std::string text = member(json, name);
  return text.empty() ? 0 : std::strtoull(text.c_str(), nullptr, 10);
}

Fd listenOn(const std::string& path) {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = addressOf(path);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) failErrno("bind " + path);
  if (::listen(fd.get(), 128) != 0) failErrno("listen");
  limitWaiting(fd);
  return fd;
}

Fd acceptOn(const Fd& listener) {
  Fd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!fd) failErrno("accept");
  limitWaiting(fd);
  return fd;
}

Fd connectTo(const std::string& path) {
  const sockaddr_un address = addressOf(path);
  Fd fd;
  await("a listener on " + path, [&] {
    fd = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  });
  limitWaiting(fd);
  return fd;
}

void sendAll(const Fd& fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t sent = ::send(fd.get(), data.data(), data.size(), MSG_NOSIGNAL);
    if (sent < 0) failErrno("send");
    data.remove_prefix(static_cast<std::size_t>(sent));
  }
}

std::string receiveSome(const Fd& fd, std::size_t most) {
  std::string data(most, '\0');
  const ssize_t got = ::recv(fd.get(), data.data(), data.size(), 0);
  if (got < 0) failErrno("recv");
  data.resize(static_cast<std::size_t>(got));
  return data;
}

std::string receiveAll(const Fd& fd) {
  std::string all;
  for (std::string some = receiveSome(fd, 1 << 18); !some.empty(); some = receiveSome(fd, 1 << 18)) all += some;
  return all;
}

void endSending(const Fd& fd) { ::shutdown(fd.get(), SHUT_WR); }

std::string randomBytes(std::size_t size, unsigned seed) {
  std::mt19937_64 random(seed);
  std::string data(size, '\0');
  for (std::size_t i = 0; i < size; i += 8) {
    const std::uint64_t value = random();
    std::memcpy(data.data() + i, &value, std::min<std::size_t>(8, size - i));
  }
  return data;
}

std::string textBytes(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::string data;
  data.reserve(size + 16);
  while (data.size() < size) data += "page " + std::to_string(random() % 1000) + "\n";
  data.resize(size);
  return data;
}

std::uint64_t hashOf(std::string_view data) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;  // FNV-1a
  for (const char byte : data) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3ULL;
  return hash;
}

}  // namespace test

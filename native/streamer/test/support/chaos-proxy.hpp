#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

#include "base/fd.hpp"

namespace test {

/** A TCP proxy on loopback that does to lanes what networks do. */
class ChaosProxy {
 public:
  enum class Mode { forward, stall, refuse };

  explicit ChaosProxy(std::uint16_t target);
  ~ChaosProxy();
  ChaosProxy(const ChaosProxy&) = delete;
  ChaosProxy& operator=(const ChaosProxy&) = delete;

  std::uint16_t port() const { return port_; }
  /** stall: bytes stay where they are, as on a cut cable. refuse: new connections are closed. */
  void setMode(Mode mode) { mode_ = mode; }
  /** Breaks all connections, in the middle of whatever they carry. */
  void cutAll() { cutAll_ = true; }
  void cutOne() { cutOne_ = true; }
  /** Puts random bytes into one connection. */
  void injectGarbage() { garbage_ = true; }
  std::uint64_t forwarded() const { return forwarded_; }
  std::uint64_t connections() const { return accepted_; }

 private:
  void run();

  streamer::Fd listener_;
  std::uint16_t port_ = 0;
  std::uint16_t target_;
  std::atomic<Mode> mode_{Mode::forward};
  std::atomic<bool> cutAll_{false};
  std::atomic<bool> cutOne_{false};
  std::atomic<bool> garbage_{false};
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> forwarded_{0};
  std::atomic<std::uint64_t> accepted_{0};
  std::thread thread_;
};

}  // namespace test

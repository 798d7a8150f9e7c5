#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "base/buffer.hpp"
#include "base/fd.hpp"
#include "base/time.hpp"
#include "wire/frame.hpp"

namespace streamer {

/** Compresses blocks on a thread of its own, so that nothing interactive waits for it. Used from one thread. */
class Encoder {
 public:
  struct Job {
    std::uint32_t channel = 0;
    std::uint64_t sequence = 0;
    Buffer raw;
    int level = 1;
  };
  struct Done {
    std::uint32_t channel = 0;
    std::uint64_t sequence = 0;
    std::size_t rawLength = 0;
    Codec codec = Codec::none;
    Buffer payload;
    Duration took{};
  };

  Encoder();
  ~Encoder();
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;

  /** One block in work and one behind it: enough to keep the thread busy, little enough not to add delay. */
  bool full() const { return pending_ >= 2; }
  void submit(Job job);
  /** Readable when results wait. */
  int readyFd() const { return ready_.get(); }
  std::vector<Done> takeDone();

 private:
  void work();

  Fd ready_;
  std::size_t pending_ = 0;  // owner's thread only
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;
  std::vector<Done> done_;
  bool stopping_ = false;
  std::thread thread_;  // last: starts when the rest is there
};

}  // namespace streamer

#include "codec/encoder.hpp"

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <system_error>
#include <utility>

#include "codec/zstd-codec.hpp"

namespace streamer {
namespace {

// The guest's own work comes first: under contention the encoder gets slower, and the policy steps aside.
constexpr int kNiceness = 5;

}  // namespace

Encoder::Encoder() : ready_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), thread_([this] { work(); }) {}

Encoder::~Encoder() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Encoder::submit(Job job) {
  ++pending_;
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
}

std::vector<Encoder::Done> Encoder::takeDone() {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(ready_.get(), &count, sizeof(count));
  const std::lock_guard lock(mutex_);
  pending_ -= done_.size();
  return std::exchange(done_, {});
}

void Encoder::work() {
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), kNiceness);
  ZstdEncoder zstd;
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (stopping_) return;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();

    const TimePoint start = Clock::now();
    Done done{job.channel, job.sequence, job.raw.size(), Codec::none, Buffer(), {}};
    if (auto payload = zstd.encode(job.raw.view(), job.level)) {
      done.codec = Codec::zstd;
      done.payload = std::move(*payload);
    } else {
      job.raw.compact();
      done.payload = std::move(job.raw);
    }
    done.took = Clock::now() - start;

    lock.lock();
    done_.push_back(std::move(done));
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(ready_.get(), &one, sizeof(one));
  }
}

}  // namespace streamer

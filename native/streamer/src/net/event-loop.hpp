#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "base/time.hpp"

namespace streamer {

/** One thread's epoll. Handlers may destroy their own Watch or Timer. */
class EventLoop {
 public:
  using Handler = std::function<void(std::uint32_t events)>;

  /** Watches a descriptor while it lives. The descriptor must outlive it. */
  class Watch {
   public:
    Watch() = default;
    Watch(EventLoop& loop, int fd, std::uint32_t events, Handler handler);
    Watch(Watch&& other) noexcept;
    Watch& operator=(Watch&& other) noexcept;
    ~Watch() { reset(); }

    void setEvents(std::uint32_t events);
    void reset();

   private:
    EventLoop* loop_ = nullptr;
    int fd_ = -1;
    std::uint32_t events_ = 0;
    std::uint64_t id_ = 0;
  };

  /** Fires once per arming. */
  class Timer {
   public:
    Timer(EventLoop& loop, std::function<void()> handler);
    ~Timer() { disarm(); }
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

    void arm(TimePoint when);
    void disarm();
    bool armed() const { return armed_; }

   private:
    friend class EventLoop;
    EventLoop& loop_;
    std::shared_ptr<std::function<void()>> handler_;
    std::multimap<TimePoint, Timer*>::iterator place_;
    bool armed_ = false;
  };

  static Result<std::unique_ptr<EventLoop>> create();

  /** The time at which the present round of events began. */
  TimePoint now() const { return now_; }
  /** Runs after every round, when all events were handled. */
  void setAfterRound(std::function<void()> hook) { afterRound_ = std::move(hook); }
  /** Runs `work` after the handlers of this round, where destroying their owners is safe. */
  void defer(std::function<void()> work) { deferred_.push_back(std::move(work)); }
  void run();
  void stop() { stopped_ = true; }

 private:
  EventLoop(Fd epoll, Fd timer) : epoll_(std::move(epoll)), timer_(std::move(timer)) {}
  void setTimer();
  void fireTimers();

  Fd epoll_;
  Fd timer_;
  TimePoint now_ = Clock::now();
  TimePoint timerSetTo_{};
  std::unordered_map<std::uint64_t, std::shared_ptr<Handler>> handlers_;
  std::multimap<TimePoint, Timer*> timers_;
  std::vector<std::function<void()>> deferred_;
  std::function<void()> afterRound_;
  std::uint64_t nextId_ = 1;
  bool stopped_ = false;
};

}  // namespace streamer

#include "net/event-loop.hpp"

#include <sys/timerfd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace streamer {
namespace {

constexpr std::uint64_t kTimerId = 0;

}  // namespace

EventLoop::Watch::Watch(EventLoop& loop, int fd, std::uint32_t events, Handler handler)
    : loop_(&loop), fd_(fd), events_(events), id_(loop.nextId_++) {
  loop.handlers_[id_] = std::make_shared<Handler>(std::move(handler));
  epoll_event event{};
  event.events = events;
  event.data.u64 = id_;
  ::epoll_ctl(loop.epoll_.get(), EPOLL_CTL_ADD, fd, &event);
}

EventLoop::Watch::Watch(Watch&& other) noexcept
    : loop_(std::exchange(other.loop_, nullptr)), fd_(other.fd_), events_(other.events_), id_(other.id_) {}

EventLoop::Watch& EventLoop::Watch::operator=(Watch&& other) noexcept {
  if (this != &other) {
    reset();
    loop_ = std::exchange(other.loop_, nullptr);
    fd_ = other.fd_;
    events_ = other.events_;
    id_ = other.id_;
  }
  return *this;
}

void EventLoop::Watch::setEvents(std::uint32_t events) {
  if (loop_ == nullptr || events == events_) return;
  events_ = events;
  epoll_event event{};
  event.events = events;
  event.data.u64 = id_;
  ::epoll_ctl(loop_->epoll_.get(), EPOLL_CTL_MOD, fd_, &event);
}

void EventLoop::Watch::reset() {
  if (loop_ == nullptr) return;
  ::epoll_ctl(loop_->epoll_.get(), EPOLL_CTL_DEL, fd_, nullptr);
  loop_->handlers_.erase(id_);
  loop_ = nullptr;
}

EventLoop::Timer::Timer(EventLoop& loop, std::function<void()> handler)
    : loop_(loop), handler_(std::make_shared<std::function<void()>>(std::move(handler))) {}

void EventLoop::Timer::arm(TimePoint when) {
  disarm();
  place_ = loop_.timers_.emplace(when, this);
  armed_ = true;
}

void EventLoop::Timer::disarm() {
  if (!armed_) return;
  loop_.timers_.erase(place_);
  armed_ = false;
}

Result<std::unique_ptr<EventLoop>> EventLoop::create() {
  Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return systemError(FailureCode::internal, "Cannot create an epoll instance", errno);
  // Milliseconds, epoll's own unit, are too coarse for pacing a fast link.
  Fd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer) return systemError(FailureCode::internal, "Cannot create a timer", errno);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kTimerId;
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, timer.get(), &event) != 0) {
    return systemError(FailureCode::internal, "Cannot watch the timer", errno);
  }
  return std::unique_ptr<EventLoop>(new EventLoop(std::move(epoll), std::move(timer)));
}

void EventLoop::setTimer() {
  const TimePoint earliest = timers_.empty() ? TimePoint{} : timers_.begin()->first;
  if (earliest == timerSetTo_) return;
  timerSetTo_ = earliest;
  itimerspec spec{};
  if (!timers_.empty()) {
    // steady_clock is CLOCK_MONOTONIC on Linux. A zero would disarm the timer, and a past time fires at once.
    const auto sinceBoot = std::max<std::chrono::nanoseconds>(earliest.time_since_epoch(), std::chrono::nanoseconds(1));
    spec.it_value.tv_sec = static_cast<time_t>(sinceBoot.count() / 1'000'000'000);
    spec.it_value.tv_nsec = static_cast<long>(sinceBoot.count() % 1'000'000'000);
  }
  ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
}

void EventLoop::fireTimers() {
  while (!timers_.empty() && timers_.begin()->first <= now_) {
    Timer* timer = timers_.begin()->second;
    const auto handler = timer->handler_;  // the handler may destroy the timer
    timer->disarm();
    (*handler)();
  }
}

void EventLoop::run() {
  std::array<epoll_event, 64> events{};
  while (!stopped_) {
    setTimer();
    const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
    now_ = Clock::now();
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      if (event.data.u64 == kTimerId) {
        std::uint64_t expirations = 0;
        [[maybe_unused]] const ssize_t got = ::read(timer_.get(), &expirations, sizeof(expirations));
        timerSetTo_ = {};
        continue;
      }
      // An earlier handler of this round may have removed this one.
      const auto found = handlers_.find(event.data.u64);
      if (found == handlers_.end()) continue;
      const auto handler = found->second;
      (*handler)(event.events);
    }
    fireTimers();
    if (afterRound_) afterRound_();
    // Deferred work may defer more; that is for the next round's end, or for the end of run().
    for (auto& work : std::exchange(deferred_, {})) work();
  }
}

}  // namespace streamer

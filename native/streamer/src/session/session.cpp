#include "session/session.hpp"

#include <algorithm>

#include "base/bytes.hpp"
#include "base/log.hpp"

namespace streamer {
namespace {

constexpr std::size_t kClosedKept = 64;
// Frames that end channels may exceed the budget by a little; data may not.
constexpr std::uint64_t kBudgetSlack = 256U << 10;
constexpr std::size_t kMaxFinalAcks = 4096;
constexpr unsigned kMaxRounds = 8;

}  // namespace

Session::Session(EventLoop& loop, SessionSettings settings, SessionEvents& events)
    : loop_(loop),
      settings_(std::move(settings)),
      events_(events),
      bucket_(settings_.bandwidthBytesPerSecond, loop.now()),
      policy_(settings_.compression),
      encoderWatch_(loop, encoder_.readyFd(), EPOLLIN, [this](std::uint32_t) { takeEncoded(); }),
      // Waking up is all it takes: every round ends with advance().
      bucketTimer_(loop, [] {}),
      opener_(loop, settings_.serviceTimeout, [this](std::uint32_t id, UnixConnection connection) {
        const auto found = channels_.find(id);
        if (found == channels_.end() || found->second->state() != Channel::State::opening) return;
        Channel& channel = *found->second;
        if (connection.fd) {
          channel.accept(std::move(connection.fd));
        } else {
          channel.refuse(systemError(FailureCode::localSocketFailed, "Cannot connect to " + channel.service().path,
                                     connection.errorNumber)
                             .message);
        }
      }) {
  for (const Service& service : settings_.services) serviceTotals_[service.name];
}

void Session::setPeerBudgets(std::uint32_t bulk, std::uint32_t interactive) {
  // More than ours would break the bound on what is kept here until it is acknowledged.
  bulk_.credit.setBudget(std::clamp(bulk, kMinBudgetBytes, kBulkBudgetBytes));
  interactive_.credit.setBudget(std::clamp(interactive, kMinBudgetBytes, kInteractiveBudgetBytes));
}

const Service* Session::findService(const std::string& name) const {
  const auto found = std::ranges::find(settings_.services, name, &Service::name);
  return found == settings_.services.end() ? nullptr : &*found;
}

void Session::removeLane(const Lane& lane) {
  if (std::erase(lanes_, &lane) == 0) return;
  for (auto& [id, channel] : channels_) channel->laneLost(lane.id());
}

void Session::openChannel(const Service& service, Fd local) {
  if (channels_.size() >= kMaxOpenChannels) {
    logWarn("Connection refused: too many channels", {{"service", service.name}});
    return;
  }
  const std::uint32_t id = nextChannel_++;
  const pid_t pid = peerPid(local.get());
  auto channel = std::make_unique<Channel>(*this, loop_, id, service);
  channel->open(std::move(local));
  channels_.emplace(id, std::move(channel));
  ++totals_.channelsOpened;
  ++serviceTotals_[service.name].channels;
  logInfo("Channel opened", {{"channel", id}, {"service", service.name}, {"pid", pid}});
  events_.channelsChanged();
}

Result<void> Session::openByPeer(Frame frame) {
  const std::uint32_t id = frame.header.channel;
  ByteReader reader(frame.payload.view());
  std::uint8_t priority = 0;
  std::string name;
  if (!reader.read(priority) || priority > static_cast<std::uint8_t>(Priority::bulk) ||
      !reader.readText(name, frame.payload.size() - 1)) {
    return Error{FailureCode::protocolError, "The peer sent a malformed OPEN"};
  }
  const Service* service = findService(name);
  Service known = service != nullptr ? *service : Service{name, "", static_cast<Priority>(priority), {}};
  // Both ends must count the channel against the same budget.
  const bool agreed = static_cast<std::uint8_t>(known.priority) == priority;
  known.priority = static_cast<Priority>(priority);
  auto created = std::make_unique<Channel>(*this, loop_, id, known);
  Channel& channel = *created;
  channels_.emplace(id, std::move(created));
  ++totals_.channelsOpened;
  if (service != nullptr) ++serviceTotals_[name].channels;
  if (auto taken = channel.receive(std::move(frame)); !taken) return taken;
  if (service == nullptr) {
    channel.refuse("No such service is configured: " + name);
  } else if (!agreed) {
    channel.refuse("The two ends disagree about the priority of " + name);
  } else if (channels_.size() > kMaxOpenChannels) {
    channel.refuse("Too many channels are open");
  } else {
    logInfo("Channel opened by the peer", {{"channel", id}, {"service", name}});
    opener_.open(id, known.path);
  }
  events_.channelsChanged();
  return takeEarly(id);
}

void Session::receive(Frame frame, Lane&) {
  if (broken_) return;
  const FrameType type = frame.header.type;
  const std::uint32_t id = frame.header.channel;
  if (type == FrameType::goodbye) {
    auto goodbye = decodeGoodbye(frame.payload.view());
    if (goodbye) {
      events_.peerSaidGoodbye(*goodbye);
    } else {
      fail(goodbye.error());
    }
    return;
  }
  if (type == FrameType::ack) {
    const auto found = channels_.find(id);
    if (found == channels_.end()) return;  // acknowledged twice over two lanes, and over by now
    if (auto taken = found->second->acknowledged(frame.header.sequence); !taken) fail(taken.error());
    return;
  }
  if (!isReliable(type)) {
    fail({FailureCode::protocolError, "The peer sent a frame that has no place in a session"});
    return;
  }
  if (auto taken = receiveReliable(std::move(frame)); !taken) fail(taken.error());
}

Result<void> Session::receiveReliable(Frame frame) {
  const std::uint32_t id = frame.header.channel;
  const std::uint64_t sequence = frame.header.sequence;
  const auto found = channels_.find(id);
  if (found != channels_.end()) {
    Channel& channel = *found->second;
    if (auto taken = channel.receive(std::move(frame)); !taken) return taken;
    if (channel.over()) finalAcks_[id] = std::max(finalAcks_[id], sequence + 1);
    return {};
  }
  if (finished_.contains(id)) {
    finalAcks_[id] = std::max(finalAcks_[id], sequence + 1);
    if (finalAcks_.size() > kMaxFinalAcks) return Error{FailureCode::protocolError, "The peer floods old channels"};
    return {};
  }
  if (!settings_.acceptsChannels) {
    return Error{FailureCode::protocolError, "The peer used a channel that was never opened"};
  }
  if (!finished_.plausible(id)) return Error{FailureCode::protocolError, "The peer used an impossible channel"};
  if (frame.header.type == FrameType::open) {
    if (sequence != 0) return Error{FailureCode::protocolError, "The peer opened a channel in its middle"};
    return openByPeer(std::move(frame));
  }
  if (frame.header.type == FrameType::reset) {
    // Its OPEN was dropped unsent or is still on another lane; either way the channel is over.
    if (const auto early = early_.extract(id); !early.empty()) {
      for (const Frame& frame_early : early.mapped()) earlyCost_ -= frameCost(frame_early.header.rawLength);
    }
    finished_.add(id);
    finalAcks_[id] = sequence + 1;
    return {};
  }
  return receiveEarly(std::move(frame));
}

Result<void> Session::receiveEarly(Frame frame) {
  const std::uint64_t cost = frameCost(frame.header.rawLength);
  if (earlyCost_ + cost > kBulkBudgetBytes + kBudgetSlack) {
    return Error{FailureCode::protocolError, "The peer sent data for channels it did not open"};
  }
  earlyCost_ += cost;
  early_[frame.header.channel].push_back(std::move(frame));
  return {};
}

Result<void> Session::takeEarly(std::uint32_t id) {
  auto found = early_.extract(id);
  if (found.empty()) return {};
  for (Frame& frame : found.mapped()) {
    earlyCost_ -= frameCost(frame.header.rawLength);
    if (auto taken = receiveReliable(std::move(frame)); !taken) return taken;
  }
  return {};
}

void Session::takeEncoded() {
  for (Encoder::Done& done : encoder_.takeDone()) {
    totals_.compressionIn += done.rawLength;
    totals_.compressionOut += done.payload.size();
    const auto found = channels_.find(done.channel);
    if (found == channels_.end()) continue;
    policy_.encoded(found->second->compression(), done.rawLength, done.payload.size(), done.took);
    found->second->encoded(done.sequence, done.codec, std::move(done.payload));
  }
}

void Session::advance() {
  // Sending makes room for reading, which makes more to send; without another round the lanes would wait for an ACK.
  for (unsigned round = 0; round < kMaxRounds; ++round) {
    for (auto& [id, channel] : channels_) {
      if (broken_) return;
      if (auto fault = channel->takeFault()) fail(*fault);
      if (auto done = channel->advance(); !done) fail(done.error());
    }
    if (!pump()) break;
  }
  reap();
}

void Session::reap() {
  bool changed = false;
  for (auto next = channels_.begin(); next != channels_.end();) {
    Channel& channel = *next->second;
    if (!channel.over()) {
      ++next;
      continue;
    }
    changed = true;
    // The peer may still wait for this one.
    if (const auto ack = channel.takeAck()) finalAcks_[channel.id()] = std::max(finalAcks_[channel.id()], *ack);
    noteClosed(channel);
    finished_.add(channel.id());
    opener_.forget(channel.id());
    next = channels_.erase(next);
  }
  if (!changed) return;
  pump();
  events_.channelsChanged();
}

void Session::noteClosed(const Channel& channel) {
  closed_.push_back({channel.id(), channel.service().name, channel.state(), channel.counters()});
  if (closed_.size() > kClosedKept) closed_.pop_front();
  logInfo("Channel closed", {{"channel", channel.id()},
                             {"service", channel.service().name},
                             {"state", channel.state() == Channel::State::closed ? "closed" : "reset"},
                             {"rawBytesSent", channel.counters().rawSent},
                             {"rawBytesReceived", channel.counters().rawReceived}});
}

void Session::resetAll(const std::string& reason) {
  for (auto& [id, channel] : channels_) channel->reset(reason);
}

void Session::dropAll() {
  for (auto& [id, channel] : channels_) channel->drop();
  for (auto& [id, channel] : channels_) noteClosed(*channel);
  channels_.clear();
}

void Session::fail(const Error& error) {
  if (std::exchange(broken_, true)) return;
  events_.sessionBroken(error);
}

void Session::creditTaken(const Channel& channel, std::uint64_t cost) { budgetOf(channel).credit.take(cost); }
void Session::creditFreed(const Channel& channel, std::uint64_t cost) { budgetOf(channel).credit.giveBack(cost); }

bool Session::receiveBudgetTaken(const Channel& channel, std::uint64_t cost) {
  Budget& budget = budgetOf(channel);
  budget.received += cost;
  return budget.received <= budget.receiveLimit + kBudgetSlack;
}

void Session::receiveBudgetFreed(const Channel& channel, std::uint64_t cost) {
  Budget& budget = budgetOf(channel);
  budget.received -= std::min(cost, budget.received);
}

void Session::compress(Channel& channel, std::uint64_t sequence, Buffer raw) {
  encoder_.submit({channel.id(), sequence, std::move(raw), policy_.settings().level});
}

Result<Buffer> Session::decompress(const Frame& frame) {
  return decoder_.decode(frame.payload.view(), frame.header.rawLength);
}

void Session::countRaw(const Channel& channel, std::uint64_t sent, std::uint64_t received) {
  totals_.rawSent += sent;
  totals_.rawReceived += received;
  const auto found = serviceTotals_.find(channel.service().name);
  if (found == serviceTotals_.end()) return;
  found->second.rawSent += sent;
  found->second.rawReceived += received;
}

}  // namespace streamer

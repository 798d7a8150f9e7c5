#include "transfer.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/log.hpp"

namespace streamer {
namespace {

constexpr Duration kTick = milliseconds(250);
constexpr Duration kObserve = milliseconds(20);
constexpr Duration kStatusInterval = seconds(1);
constexpr Duration kGoodbyeGrace = milliseconds(300);
constexpr Duration kEndGrace = milliseconds(1500);

template <typename... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <typename... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

}  // namespace

Transfer::Transfer(EventLoop& loop, Config config)
    : loop_(loop),
      config_(std::move(config)),
      process_(ProcessIdentity::read()),
      statusFile_(config_.directory),
      tickTimer_(loop, [this] { tick(); }),
      observeTimer_(loop,
                    [this] {
                      if (session_) session_->observeLink();
                    }),
      goodbyeTimer_(loop, [this] { judgeGoodbye(true); }),
      endTimer_(loop, [this] { leaveWhenDrained(true); }),
      startedAt_(loop.now()) {}

Transfer::~Transfer() {
  for (const Listener& listener : listeners_) ::unlink(listener.path.c_str());
  if (control_) ::unlink((config_.directory + "/control.sock").c_str());
}

Result<void> Transfer::start() {
  const auto refuse = [this](const Error& error) -> Result<void> {
    failure_ = error;
    if (ownsDirectory_) setState(TransferState::failed);
    return error;
  };
  if (::mkdir(config_.directory.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
    return refuse(systemError(FailureCode::localSocketFailed, "Cannot make " + config_.directory, errno));
  }
  // The control socket comes first: who has it owns the directory and may write the status.
  auto listener = listenUnix(config_.directory + "/control.sock", std::nullopt);
  if (!listener) return refuse(listener.error());
  ownsDirectory_ = true;
  control_ = std::make_unique<ControlServer>(loop_, std::move(*listener),
                                             [this](const ControlRequest& request) { return handle(request); });
  writeStatus();

  SessionSettings settings;
  settings.services = config_.services;
  settings.compression = config_.compression;
  settings.bandwidthBytesPerSecond = config_.bandwidthBytesPerSecond;
  settings.serviceTimeout = config_.serviceTimeout;
  settings.acceptsChannels = config_.role == Role::destination;
  session_ = std::make_unique<Session>(loop_, std::move(settings), *this);
  if (auto opened = openLink(); !opened) return refuse(opened.error());
  if (config_.role == Role::source) {
    if (auto listening = listenForServices(); !listening) return refuse(listening.error());
  }
  loop_.setAfterRound([this] {
    if (session_) session_->advance();
    if (session_ && session_->bulkMoving() && !observeTimer_.armed()) observeTimer_.arm(loop_.now() + kObserve);
    if (statusDue_) writeStatus();
    if (ending_) leaveWhenDrained(false);
  });
  tickTimer_.arm(loop_.now() + kTick);
  setState(destination_ != nullptr ? TransferState::listening : TransferState::connecting);
  return {};
}

Result<void> Transfer::openLink() {
  const bool source = config_.role == Role::source;
  auto tls = TlsContext::load(config_.tls, source ? TlsRole::client : TlsRole::server);
  if (!tls) return tls.error();
  LinkSettings settings{config_.token, config_.transferId, config_.reconnectTimeout};
  if (source) {
    auto link = std::make_unique<SourceLink>(
        loop_, *session_, *this, std::move(settings), std::move(*tls),
        SourceSettings{config_.connectHost, config_.connectPort, config_.lanes, config_.connectTimeout});
    SourceLink& started = *link;
    link_ = std::move(link);
    started.start();
    return {};
  }
  auto listener = listenTcp(config_.listenHost, config_.listenPortMin, config_.listenPortMax);
  if (!listener) return listener.error();
  listenPort_ = listener->port;
  auto link = std::make_unique<DestinationLink>(loop_, *session_, *this, std::move(settings), std::move(*tls),
                                                std::move(listener->fd));
  destination_ = link.get();
  link_ = std::move(link);
  return {};
}

Result<void> Transfer::listenForServices() {
  for (std::size_t i = 0; i < config_.services.size(); ++i) {
    const Service& service = config_.services[i];
    auto fd = listenUnix(service.path, service.owner);
    if (!fd) return Error{FailureCode::localSocketFailed, fd.error().message};
    Listener listener{std::move(*fd), service.path, {}};
    listener.watch =
        EventLoop::Watch(loop_, listener.fd.get(), EPOLLIN, [this, i](std::uint32_t) { onServiceConnection(i); });
    listeners_.push_back(std::move(listener));
  }
  return {};
}

void Transfer::onServiceConnection(std::size_t index) {
  while (Fd local = acceptConnection(listeners_[index].fd.get())) {
    if (!ending_) session_->openChannel(config_.services[index], std::move(local));
  }
}

Result<std::string> Transfer::handle(const ControlRequest& request) {
  const std::string done = "{}";
  return std::visit(
      Overloaded{
          [&](const StatusRequest&) -> Result<std::string> { return status(); },
          [&](const SetBandwidthRequest& wanted) -> Result<std::string> {
            session_->setBandwidth(wanted.bytesPerSecond);
            logInfo("Bandwidth set", {{"bytesPerSecond", wanted.bytesPerSecond}});
            return done;
          },
          [&](const SetCompressionRequest& wanted) -> Result<std::string> {
            session_->setCompression(wanted.settings);
            logInfo("Compression set", {{"mode", modeName(wanted.settings.mode)}, {"level", wanted.settings.level}});
            return done;
          },
          [&](const StopRequest&) -> Result<std::string> {
            // After the answer is out.
            loop_.defer([this] { stop(); });
            return done;
          },
          [&](const AbortRequest& wanted) -> Result<std::string> {
            loop_.defer([this, reason = wanted.reason] {
              abortedHere_ = !ending_;
              end(Error{FailureCode::aborted, "Aborted by request: " + reason}, Goodbye{GoodbyeReason::aborted, reason});
            });
            return done;
          },
      },
      request);
}

void Transfer::stop() {
  end(std::nullopt, Goodbye{session_ && session_->openChannels() > 0 ? GoodbyeReason::stopped : GoodbyeReason::finished,
                            "Stopped by request"});
}

void Transfer::sessionBroken(const Error& error) {
  // Deferred, because the session is in the middle of something.
  loop_.defer([this, error] { end(error, Goodbye{GoodbyeReason::failed, error.message}); });
}

void Transfer::linkFailed(const Error& error) {
  loop_.defer([this, error] { end(error, Goodbye{GoodbyeReason::failed, error.message}); });
}

void Transfer::peerSaidGoodbye(const Goodbye& goodbye) {
  if (peerGoodbye_ || ending_) return;
  peerGoodbye_ = goodbye;
  link_->expectEnd();
  loop_.defer([this] { judgeGoodbye(false); });
}

// A GOODBYE may overtake the last acknowledgements on another lane, so open channels get a moment to close.
void Transfer::judgeGoodbye(bool waited) {
  if (ending_ || !peerGoodbye_) return;
  const Goodbye& goodbye = *peerGoodbye_;
  switch (goodbye.reason) {
    case GoodbyeReason::aborted:
      end(Error{FailureCode::aborted, "The peer aborted the transfer: " + goodbye.text}, std::nullopt);
      return;
    case GoodbyeReason::failed:
      end(Error{FailureCode::peerGone, "The peer gave up the transfer: " + goodbye.text}, std::nullopt);
      return;
    case GoodbyeReason::finished:
    case GoodbyeReason::stopped: break;
  }
  if (session_->openChannels() == 0) {
    end(std::nullopt, std::nullopt);
  } else if (waited) {
    end(Error{FailureCode::peerStopped, "The peer ended the transfer while channels were open: " + goodbye.text},
        std::nullopt);
  } else if (!goodbyeTimer_.armed()) {
    goodbyeTimer_.arm(loop_.now() + kGoodbyeGrace);
  }
}

void Transfer::channelsChanged() {
  lastChannelAt_ = loop_.now();
  statusDue_ = true;
  if (peerGoodbye_) loop_.defer([this] { judgeGoodbye(false); });
}

void Transfer::lanesChanged() {
  if (ending_ || peerGoodbye_) return;
  statusDue_ = true;
  if (!link_ || !link_->everUp()) return;
  const TransferState state = link_->up() > 0 ? TransferState::connected : TransferState::reconnecting;
  if (state != state_) setState(state);
}

void Transfer::setState(TransferState state) {
  state_ = state;
  if (state == TransferState::failed && failure_) {
    logError("Transfer failed", {{"code", codeName(failure_->code)}, {"reason", failure_->message}});
  } else {
    logInfo("Transfer state", {{"state", stateName(state)}, {"port", listenPort_}});
  }
  writeStatus();
}

std::string Transfer::status() const {
  return statusJson({config_, process_, state_, failure_, listenPort_, link_.get(), session_.get()});
}

void Transfer::writeStatus() {
  statusDue_ = false;
  lastStatusAt_ = loop_.now();
  if (ownsDirectory_) statusFile_.write(status());
}

void Transfer::tick() {
  if (ending_) {
    if (link_) link_->tick();
    tickTimer_.arm(loop_.now() + kTick);
    return;
  }
  link_->tick();
  checkTimeouts();
  // "Active" means that numbers move: lanes up or coming.
  if (loop_.now() - lastStatusAt_ >= kStatusInterval) statusDue_ = true;
  tickTimer_.arm(loop_.now() + kTick);
}

void Transfer::checkTimeouts() {
  if (session_->totals().channelsOpened == 0) {
    if (loop_.now() - startedAt_ <= config_.firstChannelTimeout) return;
    std::string message = "No channel was opened in time";
    if (destination_ != nullptr && !link_->everUp() && destination_->lastRefusal()) {
      message += "; the last connection was refused: " + destination_->lastRefusal()->message;
    }
    end(Error{FailureCode::timedOut, message}, Goodbye{GoodbyeReason::failed, message});
    return;
  }
  if (session_->openChannels() == 0 && loop_.now() - lastChannelAt_ > config_.linger) {
    end(std::nullopt, Goodbye{GoodbyeReason::finished, "All channels were closed"});
  }
}

void Transfer::end(const std::optional<Error>& failure, const std::optional<Goodbye>& goodbye) {
  if (std::exchange(ending_, true)) return;
  failure_ = failure;
  for (Listener& listener : listeners_) listener.watch.reset();
  session_->advance();  // what is acknowledged already should be known to be
  if (goodbye) session_->sayGoodbye(*goodbye);
  session_->dropAll();
  link_->finish();
  endTimer_.arm(loop_.now() + kEndGrace);
  setState(failure ? TransferState::failed : TransferState::finished);
}

void Transfer::leaveWhenDrained(bool waited) {
  if (!waited && !link_->empty()) return;
  writeStatus();
  loop_.stop();
}

}  // namespace streamer

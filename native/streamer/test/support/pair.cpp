#include "support/pair.hpp"

#include <array>
#include <filesystem>
#include <mutex>
#include <random>
#include <thread>

#include "base/json-writer.hpp"
#include "support/harness.hpp"

namespace test {
namespace {

std::string configText(const std::string& folder, const std::string& role, const NodeSettings& node,
                       std::uint16_t port) {
  streamer::JsonWriter json;
  json.beginObject().field("version", 1).field("transferId", "test").field("role", role);
  json.field("directory", folder + "/run").key("tls").beginObject();
  json.field("certificate", node.certificate).field("key", node.key).field("ca", node.ca);
  json.field("peerName", node.peerName).endObject().field("token", node.token);
  if (role == "source") {
    json.key("connect").beginObject().field("host", "127.0.0.1").field("port", port).endObject();
  } else {
    json.key("listen").beginObject().field("host", "127.0.0.1");
    json.field("portMin", port).field("portMax", port + 500).endObject();
  }
  json.field("lanes", node.lanes).key("compression").beginObject();
  json.field("mode", node.compression).field("level", 1).endObject();
  json.field("bandwidthBytesPerSecond", node.bandwidth).key("services").beginArray();
  for (const char* name : {"lv", "ram", "nbd"}) {
    json.beginObject().field("name", name).field("path", folder + "/" + name + ".sock");
    json.field("priority", name == std::string_view("lv") ? "interactive" : "bulk").endObject();
  }
  json.endArray().field("reconnectTimeoutMs", node.reconnectTimeoutMs).field("lingerMs", node.lingerMs);
  json.field("connectTimeoutMs", node.connectTimeoutMs);
  json.field("firstChannelTimeoutMs", node.firstChannelTimeoutMs).endObject();
  return json.text();
}

void fillIn(NodeSettings& node, const CertificateFiles& files, const std::string& peer) {
  if (node.certificate.empty()) {
    node.certificate = files.certificate;
    node.key = files.key;
  }
  if (node.ca.empty()) node.ca = identities().ca.file();
  if (node.peerName.empty()) node.peerName = peer;
}

}  // namespace

TestIdentities::TestIdentities()
    : ca(folder.path(), "ca"), otherCa(folder.path(), "other"), a(ca.issue("a", kNodeA)), b(ca.issue("b", kNodeB)) {}

const TestIdentities& identities() {
  static const TestIdentities made;
  return made;
}

Node::Node(std::string folder, const std::string& role, const NodeSettings& settings, std::uint16_t port)
    : folder_(std::move(folder)), configFile_(folder_ + "/config.json") {
  std::filesystem::create_directory(folder_);
  writeFile(configFile_, configText(folder_, role, settings, port));
  process_ = std::make_unique<Process>(std::vector<std::string>{STREAMER_PROGRAM, "--config", configFile_},
                                       folder_ + "/log");
}

std::string Node::request(const std::string& line) const {
  const Fd fd = connectTo(directory() + "/control.sock");
  sendAll(fd, line + "\n");
  std::string answer;
  while (answer.find('\n') == std::string::npos) {
    const std::string some = receiveSome(fd);
    if (some.empty()) return answer;
    answer += some;
  }
  return answer;
}

void Node::awaitState(const std::string& wanted) const {
  await(folder_ + " to be " + wanted, [&] { return state() == wanted; });
}

Pair::Pair(PairSettings settings) : settings_(std::move(settings)) {
  fillIn(settings_.source, identities().a, kNodeB);
  fillIn(settings_.destination, identities().b, kNodeA);
  restartDestination();
  if (settings_.throughProxy) {
    proxy_ = std::make_unique<ChaosProxy>(port_);
    port_ = proxy_->port();
  }
  if (settings_.startSource) startSource();
}

void Pair::restartDestination() {
  destination_.reset();
  if (port_ == 0) {
    std::random_device random;
    port_ = static_cast<std::uint16_t>(20000 + random() % 12000);
  }
  destination_ = std::make_unique<Node>(folder_.path() + "/d", "destination", settings_.destination, port_);
  await("a listening destination", [&] { return number(destination_->status(), "listenPort") != 0; });
  port_ = static_cast<std::uint16_t>(number(destination_->status(), "listenPort"));
}

void Pair::startSource() {
  source_.reset();
  source_ = std::make_unique<Node>(folder_.path() + "/s", "source", settings_.source, port_);
}

Pair::Ends Pair::connect(const std::string& service) {
  if (!listeners_.contains(service)) listeners_[service] = listenOn(destination_->service(service));
  Ends ends;
  ends.source = connectTo(source_->service(service));
  ends.destination = acceptOn(listeners_[service]);
  return ends;
}

void exchange(const Pair::Ends& ends, const std::string& forward, const std::string& backward,
              const std::function<void()>& meanwhile) {
  std::mutex mutex;
  std::string error;
  const auto guarded = [&](const std::function<void()>& work) {
    return std::thread([work, &error, &mutex] {
      try {
        work();
      } catch (const std::exception& thrown) {
        const std::lock_guard lock(mutex);
        error = thrown.what();
      }
    });
  };
  std::string arrivedForward;
  std::string arrivedBackward;
  std::array<std::thread, 4> threads{
      guarded([&] {
        sendAll(ends.source, forward);
        endSending(ends.source);
      }),
      guarded([&] {
        sendAll(ends.destination, backward);
        endSending(ends.destination);
      }),
      guarded([&] { arrivedForward = receiveAll(ends.destination); }),
      guarded([&] { arrivedBackward = receiveAll(ends.source); }),
  };
  std::string meanwhileError;
  try {
    meanwhile();
  } catch (const std::exception& thrown) {
    meanwhileError = thrown.what();
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_EQUAL(meanwhileError, "");
  CHECK_EQUAL(error, "");
  CHECK_EQUAL(arrivedForward.size(), forward.size());
  CHECK_EQUAL(arrivedBackward.size(), backward.size());
  CHECK_EQUAL(hashOf(arrivedForward), hashOf(forward));
  CHECK_EQUAL(hashOf(arrivedBackward), hashOf(backward));
}

}  // namespace test

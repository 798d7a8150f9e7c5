#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "support/certificates.hpp"
#include "support/chaos-proxy.hpp"
#include "support/process.hpp"

namespace test {

/** What a test may want otherwise than usual, for one of the two streamers. */
struct NodeSettings {
  std::string certificate;
  std::string key;
  std::string ca;
  std::string peerName;
  std::string token = std::string(64, 'a');
  std::string compression = "auto";
  std::uint64_t bandwidth = 0;
  unsigned lanes = 2;
  unsigned reconnectTimeoutMs = 20000;
  unsigned firstChannelTimeoutMs = 60000;
  unsigned connectTimeoutMs = 15000;
  unsigned lingerMs = 60000;
};

struct PairSettings {
  NodeSettings source;
  NodeSettings destination;
  bool throughProxy = false;
  /** For tests in which the source is played by the test itself, or comes later. */
  bool startSource = true;
};

/** One streamer, its folder and its end of the services "lv" (interactive), "ram" and "nbd" (bulk). */
class Node {
 public:
  Node(std::string folder, const std::string& role, const NodeSettings& settings, std::uint16_t port);

  Process& process() { return *process_; }
  std::string status() const { return readFile(directory() + "/status.json"); }
  std::string state() const { return member(status(), "state"); }
  std::string failureCode() const { return member(status(), "code"); }
  std::string directory() const { return folder_ + "/run"; }
  std::string service(const std::string& name) const { return folder_ + "/" + name + ".sock"; }
  std::string log() const { return readFile(folder_ + "/log"); }
  const std::string& configFile() const { return configFile_; }
  /** One request over a connection of its own. */
  std::string request(const std::string& line) const;
  void awaitState(const std::string& state) const;

 private:
  std::string folder_;
  std::string configFile_;
  std::unique_ptr<Process> process_;
};

class Pair {
 public:
  explicit Pair(PairSettings settings = {});

  Node& source() { return *source_; }
  Node& destination() { return *destination_; }
  ChaosProxy& proxy() { return *proxy_; }
  const PairSettings& settings() const { return settings_; }
  std::uint16_t port() const { return port_; }
  const std::string& folder() const { return folder_.path(); }
  void startSource();
  void restartDestination();

  /** The two ends of a new channel. The first call for a service starts to listen at the destination. */
  struct Ends {
    Fd source;
    Fd destination;
  };
  Ends connect(const std::string& service);

 private:
  TemporaryFolder folder_;
  PairSettings settings_;
  std::uint16_t port_ = 0;
  std::unique_ptr<Node> destination_;
  std::unique_ptr<ChaosProxy> proxy_;
  std::unique_ptr<Node> source_;
  std::map<std::string, Fd> listeners_;
};

/** Certificates shared by all tests of this program. */
struct TestIdentities {
  TestIdentities();
  TemporaryFolder folder;
  TestCa ca;
  TestCa otherCa;
  CertificateFiles a;
  CertificateFiles b;
};
const TestIdentities& identities();

inline const std::string kNodeA = "spiffe://novacron/node/a";
inline const std::string kNodeB = "spiffe://novacron/node/b";

/** Sends both ways at once and checks that everything arrives, in order, and once. */
void exchange(const Pair::Ends& ends, const std::string& forward, const std::string& backward,
              const std::function<void()>& meanwhile = [] {});

}  // namespace test

#include <string>

#include "base/json-writer.hpp"
#include "config.hpp"
#include "control/request.hpp"
#include "support/harness.hpp"

using namespace streamer;

namespace {

const std::string kGood = R"({"version":1,"transferId":"t-1","role":"source","directory":"/run/x/t-1",
 "tls":{"certificate":"/c","key":"/k","ca":"/a","peerName":"spiffe://novacron/node/b"},
 "token":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
 "connect":{"host":"10.0.0.2","port":49152},"lanes":2,"compression":{"mode":"auto","level":1},
 "bandwidthBytesPerSecond":0,
 "services":[{"name":"libvirt","path":"/run/lv.sock","priority":"interactive","owner":{"uid":1,"gid":2}},
             {"name":"ram","path":"/run/ram.sock","priority":"bulk"}],
 "reconnectTimeoutMs":60000,"firstChannelTimeoutMs":120000,"lingerMs":30000})";

std::string with(const std::string& from, const std::string& to) {
  std::string text = kGood;
  const std::size_t at = text.find(from);
  CHECK(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

std::string refusal(const std::string& text) {
  auto config = parseConfig(text);
  return config ? "accepted" : config.error().message;
}

std::string answerTo(const std::string& line) {
  auto parsed = parseControlRequest(line);
  return parsed.id + (parsed.request ? " ok" : " refused");
}

}  // namespace

TEST("a good configuration is read") {
  auto config = parseConfig(kGood);
  CHECK(static_cast<bool>(config));
  CHECK_EQUAL(config->connectPort, 49152);
  CHECK_EQUAL(config->services.size(), 2U);
  CHECK(config->services[0].priority == Priority::interactive);
  CHECK(config->services[0].owner->gid == 2);
  CHECK(config->token[1] == std::byte{0x23});
}

TEST("what is wrong in a configuration is refused by name") {
  CHECK_EQUAL(refusal("{"), "The configuration is not valid JSON");
  CHECK_EQUAL(refusal("[]"), "Setting file must be an object");
  CHECK_EQUAL(refusal(with("\"lanes\":2", "\"lines\":2")), "Setting lines is unknown");
  CHECK_EQUAL(refusal(with("\"lanes\":2", "\"lanes\":17")), "Setting lanes must be an integer from 1 to 16");
  CHECK_EQUAL(refusal(with("\"lanes\":2", "\"lanes\":2.0")), "Setting lanes must be an integer from 1 to 16");
  CHECK_EQUAL(refusal(with("\"lanes\":2", "\"lanes\":18446744073709551615")),
              "Setting lanes must be an integer from 1 to 16");
  CHECK_EQUAL(refusal(with("\"role\":\"source\"", "\"role\":\"both\"")),
              "Setting role must be \"source\" or \"destination\"");
  CHECK_EQUAL(refusal(with("10.0.0.2", "node-b")), "Setting connect.host must be an IP address");
  CHECK_EQUAL(refusal(with("49152", "0")), "Setting connect.port must be an integer from 1 to 65535");
  CHECK_EQUAL(refusal(with("cdef\",", "cdeF\",")), "Setting token must be 64 lower-case hexadecimal digits");
  CHECK_EQUAL(refusal(with("\"uid\":1", "\"uid\":-1")),
              "Setting services[0].owner.uid must be an integer from 0 to 4294967294");
  CHECK_EQUAL(refusal(with("/run/ram.sock", "ram.sock")), "Setting services[1].path must be an absolute path");
  CHECK_EQUAL(refusal(with("\"ram\"", "\"libvirt\"")), "Setting services must not name anything twice");
  CHECK_EQUAL(refusal(with("\"bulk\"", "\"slow\"")),
              "Setting services[1].priority must be \"interactive\" or \"bulk\"");
  CHECK_EQUAL(refusal(with("\"version\":1,", "")), "Setting version is missing");
  CHECK_EQUAL(refusal(with("\"connect\"", "\"listen\"")), "Setting listen has no meaning in this role");
  CHECK_EQUAL(refusal(with("\"level\":1", "\"level\":1,\"dict\":2")), "Setting compression.dict is unknown");
  CHECK_EQUAL(refusal(with("\"auto\"", "\"sometimes\"")),
              "Setting compression.mode must be \"auto\", \"always\" or \"off\"");
}

TEST("control requests are taken or refused with their id") {
  CHECK_EQUAL(answerTo(R"({"id":1,"method":"status"})"), "1 ok");
  CHECK_EQUAL(answerTo(R"({"id":"a","method":"setBandwidth","params":{"bytesPerSecond":5}})"), "\"a\" ok");
  CHECK_EQUAL(answerTo(R"({"id":2,"method":"setBandwidth","params":{"bytesPerSecond":-5}})"), "2 refused");
  CHECK_EQUAL(answerTo(R"({"id":2,"method":"setBandwidth","params":{"bytesPerSecond":1e400}})"), "null refused");
  CHECK_EQUAL(answerTo(R"({"id":2,"method":"setCompression","params":{"mode":"auto","level":3}})"), "2 ok");
  CHECK_EQUAL(answerTo(R"({"id":2,"method":"setCompression","params":{"mode":"auto","level":300}})"), "2 refused");
  CHECK_EQUAL(answerTo(R"({"id":2,"method":"setCompression","params":{"mode":"always"}})"), "2 ok");
  CHECK_EQUAL(answerTo(R"({"id":2,"method":"setCompression","params":{"mode":"sometimes"}})"), "2 refused");
  CHECK_EQUAL(answerTo(R"({"id":3,"method":"abort","params":{"reason":"why not"}})"), "3 ok");
  CHECK_EQUAL(answerTo(R"({"id":4,"method":"explode"})"), "4 refused");
  CHECK_EQUAL(answerTo(R"({"id":5,"method":"status","params":[]})"), "5 refused");
  CHECK_EQUAL(answerTo(R"({"id":{},"method":"status"})"), "null refused");
  CHECK_EQUAL(answerTo("nonsense"), "null refused");
  CHECK_EQUAL(answerTo(""), "null refused");
}

TEST("text of any bytes becomes valid JSON") {
  JsonWriter json;
  json.value(std::string_view("a\"\\\n\x01\xff\xc3\xa4\xe2\x82", 10));
  CHECK_EQUAL(json.text(), "\"a\\\"\\\\\\u000a\\u0001\\ufffd\xc3\xa4\\ufffd\\ufffd\"");
}

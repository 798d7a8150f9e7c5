#include <algorithm>
#include <cstdlib>
#include <vector>

#include "flow/receive-stream.hpp"
#include "flow/send-stream.hpp"

using namespace streamer;

// Each byte is a step: produce, send, deliver (some frames twice), consume, acknowledge, lose a lane. Order must hold.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  SendStream sender;
  ReceiveStream receiver;
  std::vector<std::pair<LaneId, Frame>> wire;
  std::uint64_t consumed = 0;
  for (std::size_t i = 0; i < std::min<std::size_t>(size, 4000); ++i) {
    const unsigned choice = data[i] / 8U;
    const LaneId lane = 1 + choice % 3;
    switch (data[i] % 8) {
      case 0:
        if (sender.cost() < 100'000) sender.ready(sender.append(FrameType::data, 1), Codec::none, Buffer(1));
        break;
      case 1:
        if (const auto next = sender.nextWaiting()) {
          wire.emplace_back(lane, Frame{next->header, Buffer()});
          sender.sent(lane, 1);
        }
        break;
      case 2:
      case 3:
        if (!wire.empty()) {
          const std::size_t chosen = choice % wire.size();
          if (!receiver.accept(Frame{wire[chosen].second.header, Buffer()})) std::abort();
          if (data[i] % 8 == 2) wire.erase(wire.begin() + static_cast<std::ptrdiff_t>(chosen));
        }
        break;
      case 4:
        if (Frame* head = receiver.head()) {
          if (head->header.sequence != consumed++) std::abort();
          receiver.pop();
        }
        break;
      case 5:
        if (!sender.acknowledge(receiver.nextWanted())) std::abort();
        break;
      case 6:
        std::erase_if(wire, [&](const auto& sent) { return sent.first == lane; });
        sender.laneLost(lane);
        break;
      default:
        if (sender.acknowledge(choice * 1000ULL + 5000)) std::abort();
        return 0;
    }
  }
  return 0;
}

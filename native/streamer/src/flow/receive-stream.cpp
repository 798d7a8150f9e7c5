#include "flow/receive-stream.hpp"

#include <utility>

#include "flow/credit.hpp"

namespace streamer {
namespace {

// Every frame costs at least kFrameCost of the peer's budget, so an honest sequence is never further ahead.
constexpr std::uint64_t kMaxAhead = kBulkBudgetBytes / kFrameCost + 2;

}  // namespace

Result<ReceiveStream::Taken> ReceiveStream::accept(Frame frame) {
  const std::uint64_t sequence = frame.header.sequence;
  if (sequence < consumed_) return Taken::duplicate;
  if (sequence - consumed_ > kMaxAhead) {
    return Error{FailureCode::protocolError, "The peer sent a frame too far ahead of its channel"};
  }
  const std::uint64_t cost = frameCost(frame.header.rawLength);
  if (!frames_.try_emplace(sequence, std::move(frame)).second) return Taken::duplicate;
  held_ += cost;
  return Taken::fresh;
}

Frame* ReceiveStream::head() {
  const auto first = frames_.begin();
  return first != frames_.end() && first->first == consumed_ ? &first->second : nullptr;
}

std::uint64_t ReceiveStream::pop() {
  const auto first = frames_.begin();
  if (first == frames_.end() || first->first != consumed_) return 0;
  const std::uint64_t cost = frameCost(first->second.header.rawLength);
  frames_.erase(first);
  ++consumed_;
  held_ -= cost;
  return cost;
}

std::uint64_t ReceiveStream::clear() {
  frames_.clear();
  return std::exchange(held_, 0);
}

}  // namespace streamer

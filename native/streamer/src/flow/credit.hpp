#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace streamer {

/** What one frame takes from a budget: its raw bytes and the bookkeeping around them, so tiny frames are not free. */
inline constexpr std::uint64_t kFrameCost = 256;
inline constexpr std::uint64_t frameCost(std::uint64_t rawBytes) { return rawBytes + kFrameCost; }

/** How much one side may hold for the other. Announced in HELLO and WELCOME; the sum bounds a process's memory. */
inline constexpr std::uint32_t kBulkBudgetBytes = 28U << 20;
inline constexpr std::uint32_t kInteractiveBudgetBytes = 4U << 20;
/** Each of these is sure of its own small part of a budget. */
inline constexpr std::size_t kMaxOpenChannels = 64;
/** The least a peer may announce, so that one block always fits. */
inline constexpr std::uint32_t kMinBudgetBytes = 1U << 20;

/**
 * The sender's view of the peer's receive budget, shared by all channels of one priority. One eighth is set aside in
 * equal parts, one for each channel there may be, so that no number of stalled channels can stop another one. Of the
 * rest a channel may hold at most four times what is still free (the "dynamic threshold" of shared-buffer switches):
 * one channel alone gets four fifths, and nothing has to be divided beforehand.
 */
class CreditPool {
 public:
  explicit CreditPool(std::uint64_t budget) : budget_(budget) {}

  void setBudget(std::uint64_t budget) { budget_ = budget; }
  /** How much more a channel that already holds `held` may take. */
  std::uint64_t headroom(std::uint64_t held) const {
    const std::uint64_t reserve = budget_ / 8;
    const std::uint64_t own = reserve / kMaxOpenChannels;
    const std::uint64_t sure = own > held ? own - held : 0;
    const std::uint64_t shared = budget_ - reserve;
    const std::uint64_t free = shared > used_ ? shared - used_ : 0;
    const std::uint64_t threshold = 4 * free;
    return std::max(sure, threshold > held ? std::min(threshold - held, free) : 0);
  }
  void take(std::uint64_t bytes) { used_ += bytes; }
  void giveBack(std::uint64_t bytes) { used_ -= std::min(bytes, used_); }
  std::uint64_t used() const { return used_; }
  std::uint64_t budget() const { return budget_; }

 private:
  std::uint64_t budget_;
  std::uint64_t used_ = 0;
};

}  // namespace streamer

#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <span>

namespace streamer {

/** A block of bytes that is filled once and then only read. Its memory is not cleared first, as a vector's would be. */
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t capacity)
      : data_(std::make_unique_for_overwrite<std::byte[]>(capacity)), capacity_(capacity) {}

  static Buffer copyOf(std::span<const std::byte> bytes) {
    Buffer buffer(bytes.size());
    buffer.append(bytes);
    return buffer;
  }

  std::size_t size() const { return size_; }
  std::size_t capacity() const { return capacity_; }
  std::span<const std::byte> view() const { return {data_.get(), size_}; }
  bool full() const { return size_ == capacity_; }
  /** The part that is not filled yet. */
  std::span<std::byte> space() { return {data_.get() + size_, capacity_ - size_}; }
  /** Counts `bytes` of space() as filled. */
  void filled(std::size_t bytes) { size_ += bytes < capacity_ - size_ ? bytes : capacity_ - size_; }
  void append(std::span<const std::byte> bytes) {
    const std::size_t count = bytes.size() < capacity_ - size_ ? bytes.size() : capacity_ - size_;
    if (count != 0) std::memcpy(data_.get() + size_, bytes.data(), count);
    size_ += count;
  }
  /** Gives back the unused half or more of a block that will be kept for a while. */
  void compact() {
    if (size_ <= capacity_ / 2) *this = copyOf(view());
  }

 private:
  std::unique_ptr<std::byte[]> data_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace streamer

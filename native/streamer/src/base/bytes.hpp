#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace streamer {

/** Reads big-endian numbers and bytes; after the first read past the end every read fails. */
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : rest_(bytes) {}

  template <std::unsigned_integral T>
  bool read(T& value) {
    if (!take(sizeof(T))) return false;
    T result = 0;
    for (const std::byte byte : taken_) {
      // Shifting a type of 8 bits by 8 would be undefined, so single bytes never shift.
      if constexpr (sizeof(T) > 1) result = static_cast<T>(result << 8);
      result = static_cast<T>(result | std::to_integer<T>(byte));
    }
    value = result;
    return true;
  }
  bool read(std::span<std::byte> out) {
    if (!take(out.size())) return false;
    if (!out.empty()) std::memcpy(out.data(), taken_.data(), out.size());
    return true;
  }
  bool readText(std::string& out, std::size_t length) {
    if (!take(length)) return false;
    out.clear();
    for (const std::byte byte : taken_) out.push_back(static_cast<char>(byte));
    return true;
  }
  bool atEnd() const { return !failed_ && rest_.empty(); }

 private:
  bool take(std::size_t count) {
    if (failed_ || count > rest_.size()) {
      failed_ = true;
      return false;
    }
    taken_ = rest_.first(count);
    rest_ = rest_.subspan(count);
    return true;
  }

  std::span<const std::byte> rest_;
  std::span<const std::byte> taken_;
  bool failed_ = false;
};

/** Appends big-endian numbers and bytes. */
class ByteWriter {
 public:
  template <std::unsigned_integral T>
  void write(T value) {
    for (std::size_t i = sizeof(T); i-- > 0;) bytes_.push_back(static_cast<std::byte>((value >> (8 * i)) & 0xff));
  }
  void write(std::span<const std::byte> bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  void writeText(std::string_view text) {
    for (const char character : text) bytes_.push_back(static_cast<std::byte>(character));
  }
  std::span<const std::byte> view() const { return bytes_; }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

inline std::span<const std::byte> asBytes(std::string_view text) {
  return std::as_bytes(std::span<const char>(text.data(), text.size()));
}

}  // namespace streamer

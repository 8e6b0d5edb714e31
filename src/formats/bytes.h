// Bytes of unknown origin, read as little-endian numbers: every read is checked against the end.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace linnet {

static_assert(std::endian::native == std::endian::little,
              "model files are read in place, and are little-endian");

class ByteReader {
 public:
  /// `where` says what the bytes are, in front of messages. The bytes must outlive the reader.
  ByteReader(std::span<const std::byte> bytes, std::string where) : bytes_(bytes), where_(std::move(where)) {}

  size_t at() const { return at_; }
  size_t size() const { return bytes_.size(); }
  const std::string& where() const { return where_; }

  void Seek(uint64_t at) {
    Check(at <= bytes_.size(), "{}: is cut short: refers to byte {} of {}", where_, at, bytes_.size());
    at_ = static_cast<size_t>(at);
  }

  /// The next `n` bytes. Throws Error if there are fewer.
  std::span<const std::byte> Take(uint64_t n) {
    Check(n <= bytes_.size() - at_, "{}: is cut short: needs {} bytes at {} of {}", where_, n, at_,
          bytes_.size());
    at_ += static_cast<size_t>(n);
    return bytes_.subspan(at_ - static_cast<size_t>(n), static_cast<size_t>(n));
  }

  std::string_view TakeText(uint64_t n) {
    const auto text = Take(n);
    return {reinterpret_cast<const char*>(text.data()), text.size()};
  }

  template <class T>
  T Read() {
    T value;
    std::memcpy(&value, Take(sizeof value).data(), sizeof value);
    return value;
  }

 private:
  std::span<const std::byte> bytes_;
  std::string where_;
  size_t at_ = 0;
};

}  // namespace linnet

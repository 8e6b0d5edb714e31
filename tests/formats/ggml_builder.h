// Writes GGUF and rwkv.cpp files byte by byte, right and wrong ones, for the tests and the fuzzers' seeds.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "formats/pth_builder.h"

namespace linnet {

using Extents = std::vector<uint64_t>;  // fastest first, as both formats list them

class GgufWriter {
 public:
  explicit GgufWriter(uint32_t version = 3) : version_(version) {}

  static std::string Text(const std::string& text) { return Bytes<uint64_t>(text.size()) + text; }

  /// A value of any type, its bytes given.
  GgufWriter& Value(const std::string& key, uint32_t type, const std::string& bytes) {
    values_ += Text(key) + Bytes(type) + bytes;
    ++value_count_;
    return *this;
  }
  GgufWriter& Value(const std::string& key, const std::string& text) { return Value(key, 8, Text(text)); }
  GgufWriter& Value(const std::string& key, uint32_t number) { return Value(key, 4, Bytes(number)); }
  GgufWriter& Value(const std::string& key, const std::vector<std::string>& texts) {
    std::string bytes = Bytes<uint32_t>(8) + Bytes<uint64_t>(texts.size());
    for (const std::string& text : texts) bytes += Text(text);
    return Value(key, 9, bytes);
  }
  GgufWriter& Value(const std::string& key, const std::vector<int32_t>& numbers) {
    std::string bytes = Bytes<uint32_t>(5) + Bytes<uint64_t>(numbers.size());
    for (int32_t number : numbers) bytes += Bytes(number);
    return Value(key, 9, bytes);
  }

  /// A tensor at the next aligned place, or where `offset` says.
  GgufWriter& Tensor(const std::string& name, const Extents& extents, uint32_t type, const std::string& bytes,
                     int64_t offset = -1) {
    data_.resize((data_.size() + kAlignment - 1) / kAlignment * kAlignment);
    tensors_ += Text(name) + Bytes(static_cast<uint32_t>(extents.size()));
    for (uint64_t extent : extents) tensors_ += Bytes(extent);
    tensors_ += Bytes(type) + Bytes(offset < 0 ? data_.size() : static_cast<uint64_t>(offset));
    data_ += bytes;
    ++tensor_count_;
    return *this;
  }
  GgufWriter& Floats(const std::string& name, const Extents& extents, std::initializer_list<float> values) {
    return Tensor(name, extents, 0, Values<float>(values));
  }

  std::string Finish() const {
    std::string file = "GGUF" + Bytes(version_) + Bytes<uint64_t>(tensor_count_) +
                       Bytes<uint64_t>(value_count_) + values_ + tensors_;
    file.resize((file.size() + kAlignment - 1) / kAlignment * kAlignment);
    return file + data_;
  }

 private:
  static constexpr size_t kAlignment = 32;
  uint32_t version_;
  std::string values_, tensors_, data_;
  uint64_t value_count_ = 0, tensor_count_ = 0;
};

class RwkvCppWriter {
 public:
  RwkvCppWriter(uint32_t version, uint32_t vocab, uint32_t width, uint32_t layers, uint32_t type = 0)
      : file_(Bytes<uint32_t>(0x67676D66) + Bytes(version) + Bytes(vocab) + Bytes(width) + Bytes(layers) +
              Bytes(type)) {}

  RwkvCppWriter& Tensor(const std::string& name, const Extents& extents, uint32_t type,
                        const std::string& bytes) {
    file_ += Bytes(static_cast<uint32_t>(extents.size())) + Bytes(static_cast<uint32_t>(name.size())) +
             Bytes(type);
    for (uint64_t extent : extents) file_ += Bytes(static_cast<uint32_t>(extent));
    file_ += name + bytes;
    return *this;
  }
  RwkvCppWriter& Floats(const std::string& name, const Extents& extents,
                        std::initializer_list<float> values) {
    return Tensor(name, extents, 0, Values<float>(values));
  }

  const std::string& Finish() const { return file_; }

 private:
  std::string file_;
};

}  // namespace linnet

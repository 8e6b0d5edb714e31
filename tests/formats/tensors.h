// Tensors with known bytes, for tests of readers and writers.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <numeric>
#include <string>

#include "tensor/tensor.h"

namespace linnet {

inline std::filesystem::path Temporary(const std::string& name) {
  return std::filesystem::path(testing::TempDir()) / name;
}

/// Bytes 1, 2, 3, ...
inline Tensor Counting(const Shape& shape, DType dtype) {
  const Tensor tensor = Tensor::Empty(shape, dtype);
  auto* bytes = static_cast<uint8_t*>(tensor.raw());
  std::iota(bytes, bytes + tensor.bytes(), uint8_t{1});
  return tensor;
}

inline bool SameBytes(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

}  // namespace linnet

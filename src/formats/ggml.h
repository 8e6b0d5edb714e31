// What the two formats that grew out of ggml, GGUF and rwkv.cpp's, have in common: extents are listed from
// the fastest, and the values of a row may share blocks.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "tensor/tensor.h"

namespace linnet {

struct GgmlSize {
  Shape shape;  // slowest extent first, as everywhere in linnet
  uint64_t bytes;
};

/// The size of a tensor of `type` with up to four `extents`. Throws Error, with `named` in front, if an
/// extent is 0, a row is no whole number of blocks, or no file could hold it.
GgmlSize SizeOfGgml(std::span<const uint64_t> extents, DType type, const std::string& named);

}  // namespace linnet

// What this machine can do at most, measured: the limits that speeds are stated as fractions of.
#pragma once

#include <cstddef>

#include "tensor/tensor.h"

namespace linnet {

/// Bytes a second at which all threads together read memory, each its part of one range of `bytes` (best of
/// `rounds`). The range should be much larger than the caches; it is allocated and written first.
double ReadBandwidth(size_t bytes, int rounds = 1);

/// Operations a second (two for each multiplication and addition) of a product of 2048 x 2048 matrices of f32
/// or bf16 by oneDNN: the best of `rounds`.
double GemmPeak(DType type, int rounds = 1);

}  // namespace linnet

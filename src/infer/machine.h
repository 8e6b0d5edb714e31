// What this machine can do at most, measured: the limits that speeds are stated as fractions of.
#pragma once

#include <cstddef>
#include <string>

#include "tensor/tensor.h"

namespace linnet {

/// What the system calls the CPU.
std::string CpuName();

/// Bytes a second at which all threads together read memory, each its part of one range of `bytes` (best of
/// `rounds`). The range should be much larger than the caches; it is allocated and written first.
double ReadBandwidth(size_t bytes, int rounds = 1);

/// Operations a second (two for each multiplication and addition) of oneDNN's product of `rows` rows with a
/// 2048 x 2048 matrix, of f32 or bf16: the best of `rounds`.
double GemmPeak(DType type, int rounds = 1, Dim rows = 2048);

}  // namespace linnet

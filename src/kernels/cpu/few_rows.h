// Products with few rows on the left: the token-by-token case.
#pragma once

#include "tensor/tensor.h"

namespace linnet {

/// Up to this many rows FewRowsMatMul is the faster one.
inline constexpr int64_t kFewRows = 8;

/// c [M, N] = a [M, K] b, where b is [N, K] if `transposed` (one dot product a column) and else [K, N]. a and
/// b are both f32 or both bf16. A row of c is the same to the bit whatever other rows there are.
void FewRowsMatMul(const Tensor& a, const Tensor& b, bool transposed, const Tensor& c);

}  // namespace linnet

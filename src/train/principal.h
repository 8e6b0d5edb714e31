// The principal part of a matrix: the product of two factors of low rank that is nearest to it.
//
// W ~ U diag(s) V^T with the largest singular values, found by randomised subspace iteration: the range of
// W (W^T W)^q G, with G of random numbers in a few more columns than asked for, nearly holds the first U;
// what is left is the decomposition of a matrix of that few rows. Source: Halko, Martinsson and Tropp,
// arXiv:0909.4061, algorithms 4.4 and 5.1.
#pragma once

#include "base/random.h"
#include "tensor/tensor.h"

namespace linnet {

struct PrincipalFactors {
  Tensor a,
      b;  // [rank, in] and [out, rank], f32; b a ~ W, and both have the same share of each singular value
};

/// Of `weight` [out, in], f32. Throws Error unless 1 <= rank <= min(out, in).
PrincipalFactors PrincipalPart(const Tensor& weight, Dim rank, Random& random);

}  // namespace linnet

// What the linear state spaces of a file do, read off their parameters: the eigenvalues that multiply a
// mode's state with every token, and the kernels of the convolutions that the recurrences equal.
//
// Eigenvalues as the models make them: models/lru.cc, s4d.cc, s5.cc; formulas: EigenKind in
// kernels/backend.h. Of S4, diag(Lambda) - P P*, they are those of the diagonal alone, which the rule that
// cuts into steps takes to (1 + Delta/2 Lambda) / (1 - Delta/2 Lambda): those of the whole are -1, -2, ...,
// -N as S4 begins, but so ill-conditioned that float32 does not determine them (docs/learn/s4.md).
#pragma once

#include <complex>
#include <vector>

#include "formats/checkpoint.h"

namespace linnet {

/// Of one layer; none if there is no such layer, or it is no state space. Throws Error, naming the file and
/// the tensor, if one of them is missing or not of numbers.
std::vector<std::complex<double>> LayerEigenvalues(const Checkpoint& checkpoint, size_t layer);
/// Whether they are those of the diagonal of an S4, without its low-rank part.
bool AreOfDiagonalAlone(const Checkpoint& checkpoint);

/// K_0, ..., K_{length - 1} of each feature of a layer, of S4 and S4D; none of others.
std::vector<std::vector<double>> FeatureKernels(const Checkpoint& checkpoint, size_t layer, int length);

}  // namespace linnet

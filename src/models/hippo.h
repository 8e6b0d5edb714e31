// HiPPO-LegS, the matrix with which state spaces remember: the state holds the coefficients of what it has
// seen in Legendre polynomials. Gu et al., arXiv:2008.07669 and arXiv:2111.00396. With n, k from 0,
//
//     A_nk = -sqrt(2n + 1) sqrt(2k + 1) for n > k, -(n + 1) for n = k, 0 for n < k       B_n = sqrt(2n + 1)
//
// A + P P^T with P_n = sqrt(n + 1/2) is normal: -1/2 I and a skew-symmetric matrix, whose eigenvalues are +-i
// w. Models begin with this normal part, diagonalised.
#pragma once

#include <complex>
#include <vector>

namespace linnet::models {

/// The normal part of HiPPO-LegS of `size` (even): eigenvalues lambda with positive imaginary parts, in
/// ascending order, and their unit eigenvectors, column m of V [size, size / 2]. The other half are the
/// conjugates.
struct HippoModes {
  std::vector<std::complex<double>> lambda;
  std::vector<std::complex<double>> V;
};
HippoModes NormalHippo(int size);

}  // namespace linnet::models

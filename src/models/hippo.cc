#include "models/hippo.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace linnet::models {
namespace {

using Number = std::complex<double>;

/// Makes the Hermitian `a` [n, n] diagonal by rotations of pairs of its rows and columns (Jacobi), and `v`,
/// which begins as the identity, its eigenvectors in columns.
void Diagonalize(std::vector<Number>& a, std::vector<Number>& v, int n) {
  const auto at = [n](std::vector<Number>& m, int i, int j) -> Number& { return m[i * n + j]; };
  for (int sweep = 0; sweep < 60; ++sweep) {
    double off = 0;
    for (int p = 0; p < n; ++p) {
      for (int q = p + 1; q < n; ++q) {
        const double size = std::abs(at(a, p, q));
        off = std::max(off, size);
        if (size < 1e-15) continue;
        // Turned by its phase the element is real; then the rotation is that of a real symmetric matrix.
        const Number phase = std::conj(at(a, p, q)) / size;
        const double tau = (at(a, q, q).real() - at(a, p, p).real()) / (2 * size);
        const double t = (tau < 0 ? -1 : 1) / (std::abs(tau) + std::sqrt(1 + tau * tau));
        const double c = 1 / std::sqrt(1 + t * t), s = t * c;
        for (std::vector<Number>* m : {&a, &v}) {
          for (int i = 0; i < n; ++i) {
            const Number x = at(*m, i, p), y = at(*m, i, q) * phase;
            at(*m, i, p) = c * x - s * y;
            at(*m, i, q) = s * x + c * y;
          }
        }
        for (int i = 0; i < n; ++i) {
          const Number x = at(a, p, i), y = at(a, q, i) * std::conj(phase);
          at(a, p, i) = c * x - s * y;
          at(a, q, i) = s * x + c * y;
        }
      }
    }
    if (off < 1e-13 * n) return;
  }
}

}  // namespace

HippoModes NormalHippo(int size) {
  // -i times the skew part of A + P P^T: below the diagonal A is -sqrt(2n + 1) sqrt(2k + 1), twice what P P^T
  // adds.
  std::vector<Number> a(size * size), v(size * size);
  for (int n = 0; n < size; ++n) {
    v[n * size + n] = 1;
    for (int k = 0; k < n; ++k) {
      const double half = std::sqrt(2.0 * n + 1) * std::sqrt(2.0 * k + 1) / 2;
      a[n * size + k] = {0, half};
      a[k * size + n] = {0, -half};
    }
  }
  Diagonalize(a, v, size);
  std::vector<int> order(size);
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, [&](int m) { return a[m * size + m].real(); });
  const int modes = size / 2;
  HippoModes result{{}, std::vector<Number>(size * modes)};
  for (int m = 0; m < modes; ++m) {
    const int from = order[size - modes + m];
    result.lambda.emplace_back(-0.5, a[from * size + from].real());
    for (int n = 0; n < size; ++n) result.V[n * modes + m] = v[n * size + from];
  }
  return result;
}

}  // namespace linnet::models

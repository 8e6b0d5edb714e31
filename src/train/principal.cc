#include "train/principal.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/backend.h"

namespace linnet {
namespace {

constexpr Dim kMoreColumns = 10;  // than asked for: what the paper recommends
constexpr int kIterations = 4;    // singular values of trained weights fall off slowly
constexpr int kMostSweeps = 40;

double Dot(const float* x, const float* y, Dim n) {
  double sum = 0;
  for (Dim i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * y[i];
  return sum;
}

/// y += factor x
void AddScaled(double factor, const float* x, float* y, Dim n) {
  for (Dim i = 0; i < n; ++i) y[i] = static_cast<float>(y[i] + factor * x[i]);
}

void ScaleRow(double factor, float* x, Dim n) {
  for (Dim i = 0; i < n; ++i) x[i] = static_cast<float>(factor * x[i]);
}

/// Makes the rows of x orthonormal by Gram and Schmidt's method, done twice, as once leaves the error of a
/// badly conditioned x. A row that depends on those before it becomes zero.
void Orthonormalize(const Tensor& x) {
  const Dim rows = x.dim(0), n = x.dim(1);
  for (Dim i = 0; i < rows; ++i) {
    float* row = x.data() + i * n;
    const double before = std::sqrt(Dot(row, row, n));
    for (int pass = 0; pass < 2; ++pass) {
      for (Dim j = 0; j < i; ++j) {
        const float* other = x.data() + j * n;
        AddScaled(-Dot(row, other, n), other, row, n);
      }
    }
    const double length = std::sqrt(Dot(row, row, n));
    ScaleRow(length > 1e-6 * before && length > 0 ? 1 / length : 0, row, n);
  }
}

Tensor Times(const Tensor& x, const Tensor& y, bool transpose_y) {
  const Tensor product = Tensor::Empty({x.dim(0), y.dim(transpose_y ? 0 : 1)});
  Backend::For(x.device()).MatMul(x, false, y, transpose_y, product, false);
  return product;
}

/// Turns rows p and q of x, and of `turns`, so that those of x become orthogonal. False if they were.
bool Rotate(const Tensor& x, const Tensor& turns, Dim p, Dim q) {
  const Dim n = x.dim(1), k = turns.dim(1);
  float *xp = x.data() + p * n, *xq = x.data() + q * n;
  const double pp = Dot(xp, xp, n), qq = Dot(xq, xq, n), pq = Dot(xp, xq, n);
  if (std::abs(pq) <= 1e-7 * std::sqrt(pp * qq)) return false;
  const double zeta = (qq - pp) / (2 * pq);
  const double t = std::copysign(1.0, zeta) / (std::abs(zeta) + std::sqrt(1 + zeta * zeta));
  const double c = 1 / std::sqrt(1 + t * t), s = c * t;
  const auto turn = [&](float* a, float* b, Dim count) {
    for (Dim i = 0; i < count; ++i) {
      const double u = a[i], v = b[i];
      a[i] = static_cast<float>(c * u - s * v);
      b[i] = static_cast<float>(s * u + c * v);
    }
  };
  turn(xp, xq, n);
  turn(turns.data() + p * k, turns.data() + q * k, k);
  return true;
}

/// Jacobi's method from one side: turns the rows of x until they are orthogonal, and so s_i v_i; the rows of
/// what is returned are then the u_i, with x as it was = sum u_i s_i v_i.
Tensor OrthogonalRows(const Tensor& x) {
  const Dim k = x.dim(0);
  const Tensor turns = Tensor::Zeros({k, k});
  for (Dim i = 0; i < k; ++i) turns.data()[i * k + i] = 1;
  bool turned = true;
  for (int sweep = 0; turned && sweep < kMostSweeps; ++sweep) {
    turned = false;
    for (Dim p = 0; p < k; ++p) {
      for (Dim q = p + 1; q < k; ++q) turned = Rotate(x, turns, p, q) || turned;
    }
  }
  return turns;
}

}  // namespace

PrincipalFactors PrincipalPart(const Tensor& weight, Dim rank, Random& random) {
  const Dim out = weight.dim(0), in = weight.dim(1), least = std::min(out, in);
  Check(rank >= 1 && rank <= least,
        "a part of rank {} was asked for of a matrix {}, whose rank is at most {}", rank, weight.shape(),
        least);
  const Dim k = std::min(rank + kMoreColumns, least);
  // Bases are held as rows: `range` [k, out] of the range of W.
  Tensor range = Tensor::Empty({k, out});
  for (Dim i = 0; i < range.size(); ++i) range.data()[i] = static_cast<float>(random.Normal());
  for (int i = 0; i < kIterations; ++i) {
    const Tensor rows = Times(range, weight, false);  // [k, in]
    Orthonormalize(rows);
    range = Times(rows, weight, true);
    Orthonormalize(range);
  }
  const Tensor small = Times(range, weight, false), turns = OrthogonalRows(small);
  const Tensor u = Times(turns, range, false);  // [k, out]
  std::vector<double> lengths;
  for (Dim i = 0; i < k; ++i) {
    lengths.push_back(std::sqrt(Dot(small.data() + i * in, small.data() + i * in, in)));
  }
  std::vector<Dim> order(k);
  std::iota(order.begin(), order.end(), Dim{0});
  std::ranges::sort(order, [&](Dim i, Dim j) { return lengths[i] > lengths[j]; });
  const PrincipalFactors factors{Tensor::Zeros({rank, in}), Tensor::Zeros({out, rank})};
  for (Dim r = 0; r < rank; ++r) {
    const double root = std::sqrt(lengths[order[r]]);
    if (root == 0) continue;
    AddScaled(1 / root, small.data() + order[r] * in, factors.a.data() + r * in, in);
    for (Dim i = 0; i < out; ++i) {
      factors.b.data()[i * rank + r] = static_cast<float>(root * u.data()[order[r] * out + i]);
    }
  }
  return factors;
}

}  // namespace linnet

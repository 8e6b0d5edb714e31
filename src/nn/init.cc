#include "nn/init.h"

#include <cmath>
#include <vector>

#include "base/parallel.h"

namespace linnet::init {
namespace {

/// Replaces `rows` vectors of `length` >= `rows` normal numbers by an orthonormal basis of their span: with
/// the Cholesky factor A A^T = L L^T the rows of L^{-1} A are orthonormal. L has a positive diagonal, so the
/// basis is uniformly distributed. Done twice, as the first pass leaves the error of a squared condition
/// number (Yamamoto et al., 2015).
void CholeskyOrthonormalize(std::vector<double>& a, Dim rows, Dim length) {
  const auto row = [&](Dim i) { return a.data() + i * length; };
  std::vector<double> factor(rows * rows, 0.0);
  ParallelFor(rows, 1, [&](int64_t begin, int64_t end) {
    for (Dim i = begin; i < end; ++i) {
      for (Dim j = 0; j <= i; ++j) {
        double sums[8] = {};
        Dim c = 0;
        for (; c + 8 <= length; c += 8) {
          for (int lane = 0; lane < 8; ++lane) sums[lane] += row(i)[c + lane] * row(j)[c + lane];
        }
        for (; c < length; ++c) sums[0] += row(i)[c] * row(j)[c];
        for (double sum : sums) factor[i * rows + j] += sum;
      }
    }
  });
  for (Dim i = 0; i < rows; ++i) {
    for (Dim j = 0; j <= i; ++j) {
      double sum = factor[i * rows + j];
      for (Dim c = 0; c < j; ++c) sum -= factor[i * rows + c] * factor[j * rows + c];
      factor[i * rows + j] = i == j ? std::sqrt(sum) : sum / factor[j * rows + j];
    }
  }
  ParallelFor(length, 64, [&](int64_t begin, int64_t end) {
    for (Dim i = 0; i < rows; ++i) {
      for (Dim j = 0; j < i; ++j) {
        const double share = factor[i * rows + j];
        for (Dim c = begin; c < end; ++c) row(i)[c] -= share * row(j)[c];
      }
      for (Dim c = begin; c < end; ++c) row(i)[c] /= factor[i * rows + i];
    }
  });
}

}  // namespace

Init Constant(float value) {
  return [value](const Tensor& t, Random&) { std::fill_n(t.data(), t.size(), value); };
}

Init Zero() { return Constant(0); }

Init Uniform(float bound) {
  return [bound](const Tensor& t, Random& random) {
    for (Dim i = 0; i < t.size(); ++i) t.data()[i] = static_cast<float>(bound * (2 * random.Uniform() - 1));
  };
}

Init Element(std::function<double(Dim)> value) {
  return [value = std::move(value)](const Tensor& t, Random&) {
    for (Dim i = 0; i < t.size(); ++i) t.data()[i] = static_cast<float>(value(i));
  };
}

Init Orthogonal(float gain) {
  return [gain](const Tensor& t, Random& random) {
    Check(t.shape().rank() == 2, "[init] an orthogonal matrix has rank 2, not {}", t.shape());
    const Dim rows = t.dim(0), columns = t.dim(1);
    const Dim few = std::min(rows, columns), many = std::max(rows, columns);
    std::vector<double> basis(few * many);
    for (double& x : basis) x = random.Normal();
    CholeskyOrthonormalize(basis, few, many);
    CholeskyOrthonormalize(basis, few, many);
    for (Dim i = 0; i < rows; ++i) {
      for (Dim j = 0; j < columns; ++j) {
        t.data()[i * columns + j] =
            static_cast<float>(gain * (rows <= columns ? basis[i * many + j] : basis[j * many + i]));
      }
    }
  };
}

}  // namespace linnet::init

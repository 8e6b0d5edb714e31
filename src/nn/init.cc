#include "nn/init.h"

#include <cmath>
#include <vector>

#include "base/parallel.h"

namespace linnet::init {
namespace {

/// Columns that are worked on at a time: all rows of so many stay in cache.
constexpr Dim kBlock = 128;

double Product(const double* a, const double* b, Dim count) {
  double sums[8] = {};
  Dim c = 0;
  for (; c + 8 <= count; c += 8) {
    for (int lane = 0; lane < 8; ++lane) sums[lane] += a[c + lane] * b[c + lane];
  }
  for (; c < count; ++c) sums[0] += a[c] * b[c];
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

/// The lower half of A A^T, [rows, rows].
std::vector<double> Gram(const std::vector<double>& a, Dim rows, Dim length) {
  std::vector<double> gram(rows * rows, 0.0);
  const auto add_row = [&](Dim i, Dim from, Dim count) {
    for (Dim j = 0; j <= i; ++j) {
      gram[i * rows + j] += Product(&a[i * length + from], &a[j * length + from], count);
    }
  };
  for (Dim from = 0; from < length; from += kBlock) {
    const Dim count = std::min(kBlock, length - from);
    // A short row and a long one at a time, so that threads have equal shares.
    ParallelFor((rows + 1) / 2, 1, [&](int64_t begin, int64_t end) {
      for (Dim i = begin; i < end; ++i) {
        add_row(i, from, count);
        if (rows - 1 - i != i) add_row(rows - 1 - i, from, count);
      }
    });
  }
  return gram;
}

/// Replaces `rows` vectors of `length` >= `rows` normal numbers by an orthonormal basis of their span: with
/// the Cholesky factor A A^T = L L^T the rows of L^{-1} A are orthonormal. L has a positive diagonal, so the
/// basis is uniformly distributed. Done twice, as the first pass leaves the error of a squared condition
/// number (Yamamoto et al., 2015).
void CholeskyOrthonormalize(std::vector<double>& a, Dim rows, Dim length) {
  std::vector<double> factor = Gram(a, rows, length);
  for (Dim i = 0; i < rows; ++i) {
    for (Dim j = 0; j <= i; ++j) {
      const double sum = factor[i * rows + j] - Product(&factor[i * rows], &factor[j * rows], j);
      factor[i * rows + j] = i == j ? std::sqrt(sum) : sum / factor[j * rows + j];
    }
  }
  ParallelFor((length + kBlock - 1) / kBlock, 1, [&](int64_t begin, int64_t end) {
    for (Dim from = begin * kBlock; from < std::min<Dim>(end * kBlock, length); from += kBlock) {
      const Dim count = std::min(kBlock, length - from);
      for (Dim i = 0; i < rows; ++i) {
        double* row = &a[i * length + from];
        for (Dim j = 0; j < i; ++j) {
          const double share = factor[i * rows + j];
          const double* other = &a[j * length + from];
          for (Dim c = 0; c < count; ++c) row[c] -= share * other[c];
        }
        for (Dim c = 0; c < count; ++c) row[c] /= factor[i * rows + i];
      }
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

Init Normal(float deviation) {
  return [deviation](const Tensor& t, Random& random) {
    for (Dim i = 0; i < t.size(); ++i) t.data()[i] = static_cast<float>(deviation * random.Normal());
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

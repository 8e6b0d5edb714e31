#include "train/principal.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "nn/init.h"

namespace linnet {
namespace {

/// U diag(s) V^T with random orthonormal columns.
Tensor WithSingularValues(Dim out, Dim in, const std::vector<double>& s) {
  const Dim k = static_cast<Dim>(s.size());
  const Tensor u = Tensor::Empty({k, out}), v = Tensor::Empty({k, in}), w = Tensor::Zeros({out, in});
  Random random(3);
  init::Orthogonal(1)(u, random);
  init::Orthogonal(1)(v, random);
  for (Dim r = 0; r < k; ++r) {
    for (Dim i = 0; i < out; ++i) {
      for (Dim j = 0; j < in; ++j) {
        w.data()[i * in + j] += static_cast<float>(s[r] * u.data()[r * out + i] * v.data()[r * in + j]);
      }
    }
  }
  return w;
}

/// Length of weight - b a: the root of the sum of squares of the singular values that are left.
double Left(const Tensor& weight, const PrincipalFactors& f) {
  const Dim out = weight.dim(0), in = weight.dim(1), rank = f.a.dim(0);
  double squares = 0;
  for (Dim i = 0; i < out; ++i) {
    for (Dim j = 0; j < in; ++j) {
      double x = weight.data()[i * in + j];
      for (Dim r = 0; r < rank; ++r) {
        x -= static_cast<double>(f.b.data()[i * rank + r]) * f.a.data()[r * in + j];
      }
      squares += x * x;
    }
  }
  return std::sqrt(squares);
}

TEST(PrincipalPart, IsTheNearestOfItsRank) {
  std::vector<double> s;
  for (int i = 0; i < 30; ++i) s.push_back(4.0 * std::pow(0.85, i));  // falls off as slowly as in weights
  for (const auto& [out, in] : {std::pair<Dim, Dim>{70, 45}, {45, 70}, {30, 30}}) {
    const Tensor w = WithSingularValues(out, in, s);
    for (Dim rank : {1, 4, 12, 30}) {
      double best = 0;
      for (size_t i = rank; i < s.size(); ++i) best += s[i] * s[i];
      Random random(5);
      const PrincipalFactors f = PrincipalPart(w, rank, random);
      EXPECT_NEAR(Left(w, f), std::sqrt(best), 2e-5 + 1e-4 * std::sqrt(best))
          << out << " " << in << " " << rank;
      // Both factors have the root of each singular value.
      double length = 0;
      for (Dim j = 0; j < in; ++j) length += std::pow(f.a.data()[j], 2);
      EXPECT_NEAR(length, s[0], 1e-3) << rank;
    }
  }
}

TEST(PrincipalPart, OfAMatrixOfLowerRankIsAllOfIt) {
  const Tensor w = WithSingularValues(40, 20, {2, 1});
  Random random(5);
  EXPECT_LT(Left(w, PrincipalPart(w, 6, random)), 1e-5);
  const PrincipalFactors nothing = PrincipalPart(Tensor::Zeros({8, 6}), 2, random);
  for (Dim i = 0; i < nothing.a.size(); ++i) EXPECT_EQ(nothing.a.data()[i], 0);
  EXPECT_THROW(PrincipalPart(w, 21, random), Error);
  EXPECT_THROW(PrincipalPart(w, 0, random), Error);
}

}  // namespace
}  // namespace linnet

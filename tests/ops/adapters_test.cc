// Products with adapted weights of every kind against loops on doubles: y = act(x W^T + sum scale (x A^T) B^T
// + bias), and the gradients of x, A, B and bias. Blocks count as their decoded values rounded to bf16, and x
// is rounded for the product with W alone. In training x before A may have dropout.
#include "ops/adapters.h"

#include <gtest/gtest.h>

#include "kernels/backend.h"
#include "ops/adapter_dropout.h"
#include "ops/op_case.h"

namespace linnet {
namespace {

Tensor Converted(const Tensor& x, DType type) {
  const Tensor y = Tensor::Empty(x.shape(), type);
  Backend::For(x.device()).Convert(x, y);
  return y;
}

/// Its values as a product sees them.
Values Seen(const Tensor& x, DType weight) {
  if (weight == DType::kF32) return ToValues(Converted(x, DType::kF32));
  return ToValues(Converted(Converted(Converted(x, DType::kF32), DType::kBf16), DType::kF32));
}

/// [m, k] times [n, k] transposed.
Values TimesTransposed(const Values& x, const Values& w, Dim m, Dim n, Dim k) {
  Values y(m * n);
  for (Dim i = 0; i < m; ++i) {
    for (Dim j = 0; j < n; ++j) {
      for (Dim c = 0; c < k; ++c) y[i * n + j] += x[i * k + c] * w[j * k + c];
    }
  }
  return y;
}

Values Transposed(const Values& x, Dim rows, Dim columns) {
  Values y(x.size());
  for (Dim i = 0; i < rows; ++i) {
    for (Dim j = 0; j < columns; ++j) y[j * rows + i] = x[i * columns + j];
  }
  return y;
}

void AddTo(Values& sum, const Values& x, double factor) {
  for (size_t i = 0; i < sum.size(); ++i) sum[i] += factor * x[i];
}

void ExpectNear(const Values& found, const Values& expected, double tolerance, const char* what) {
  ASSERT_EQ(found.size(), expected.size()) << what;
  Values difference = found;
  AddTo(difference, expected, -1);
  EXPECT_LE(Norm(difference), tolerance * Norm(expected)) << what;
}

class AdaptedProduct : public testing::TestWithParam<DType> {
 protected:
  static constexpr Dim kRows = 7, kIn = 256, kOut = 35;

  const DType type_ = GetParam();
  const Tensor x_ = RandomTensor({kRows, kIn}, 1), bias_ = RandomTensor({kOut}, 2);
  const Tensor w_ = Converted(RandomTensor({kOut, kIn}, 3, 0.1), type_);
  const Adapter one_{RandomTensor({4, kIn}, 4, 0.1), RandomTensor({kOut, 4}, 5, 0.3), 0.5f};
  const Adapter two_{RandomTensor({3, kIn}, 6, 0.1), RandomTensor({kOut, 3}, 7, 0.3), -2.0f};
};

TEST_P(AdaptedProduct, IsTheSumOfItsParts) {
  Adapters adapters;
  for (const Adapter& adapter : {one_, two_}) adapters.Add(w_, adapter);
  Values expected = TimesTransposed(Seen(x_, type_), Seen(w_, type_), kRows, kOut, kIn);
  for (const auto& [a, b, scale] : {one_, two_}) {
    const Dim rank = a.dim(0);
    const Values low = TimesTransposed(ToValues(x_), ToValues(a), kRows, rank, kIn);
    AddTo(expected, TimesTransposed(low, ToValues(b), kRows, kOut, rank), scale);
  }
  for (Dim i = 0; i < kRows * kOut; ++i) expected[i] = std::tanh(expected[i] + bias_.data()[i % kOut]);
  const Tensor plain = ops::Linear(x_, w_, bias_, ops::Act::kTanh);
  const AdaptersInForce scope(&adapters);
  ExpectNear(ToValues(ops::Linear(x_, w_, bias_, ops::Act::kTanh)), expected, 1e-6, "y");
  Values difference = expected;
  AddTo(difference, ToValues(plain), -1);
  EXPECT_GT(Norm(difference), 0.1 * Norm(expected)) << "the adapters add next to nothing: a poor test";
  const AdaptersInForce none(nullptr);
  EXPECT_EQ(ToValues(ops::Linear(x_, w_, bias_, ops::Act::kTanh)), ToValues(plain));
}

TEST_P(AdaptedProduct, GradientsFlowThroughAFrozenWeight) {
  Adapters adapters;
  adapters.Add(w_, one_);
  const Tensor upstream = RandomTensor({kRows, kOut}, 8);
  for (const Tensor& t : {x_, one_.a, one_.b, bias_}) t.Track();
  {
    Tape tape;
    const AdaptersInForce scope(&adapters);
    const Tensor y = ops::Linear(x_, w_, bias_);
    y.gradient()->value = upstream;
    tape.Backward();
  }
  EXPECT_FALSE(w_.tracked());
  const auto& [a, b, scale] = one_;
  const Dim rank = a.dim(0);
  const Values dy = ToValues(upstream), w = Seen(w_, type_);
  const Values low = TimesTransposed(ToValues(x_), ToValues(a), kRows, rank, kIn);
  const Values dlow = TimesTransposed(dy, Transposed(ToValues(b), kOut, rank), kRows, rank, kOut);
  Values db = TimesTransposed(Transposed(dy, kRows, kOut), Transposed(low, kRows, rank), kOut, rank, kRows);
  Values da =
      TimesTransposed(Transposed(dlow, kRows, rank), Transposed(ToValues(x_), kRows, kIn), rank, kIn, kRows);
  Values dx = TimesTransposed(Seen(upstream, type_), Transposed(w, kOut, kIn), kRows, kIn, kOut);
  AddTo(dx, TimesTransposed(dlow, Transposed(ToValues(a), rank, kIn), kRows, kIn, rank), scale);
  for (Values* d : {&da, &db}) AddTo(*d, *d, scale - 1);
  ExpectNear(ToValues(one_.b.grad()), db, 1e-6, "B");
  ExpectNear(ToValues(one_.a.grad()), da, 1e-6, "A");
  ExpectNear(ToValues(x_.grad()), dx, 1e-6, "x");
}

TEST_P(AdaptedProduct, DropoutIsOfWhatAMultipliesAlone) {
  Adapters adapters;
  for (const Adapter& adapter : {one_, two_}) adapters.Add(w_, adapter);
  const Tensor upstream = RandomTensor({kRows, kOut}, 8), ones = Tensor::Empty(x_.shape());
  std::fill_n(ones.data(), ones.size(), 1.0f);
  for (const Tensor& t : {x_, one_.a, one_.b}) t.Track();
  // The scope must not be needed any more when gradients are computed.
  Tape tape;
  const AdaptersInForce scope(&adapters);
  Values factors[2];
  Tensor y;
  {
    const ops::DropoutScope dropout({.seed = 5, .step = 2, .first_row = 3});
    const std::vector<Tensor> trained{one_.a, two_.a};
    const ops::AdapterDropoutScope of_adapters(0.3f, trained);
    for (int i = 0; i < 2; ++i) factors[i] = ToValues(ops::AdapterDropout(trained[i], kRows)(ones));
    EXPECT_FALSE(ops::AdapterDropout(x_, kRows).any()) << "is none of them";
    EXPECT_NE(factors[0], factors[1]) << "each adapter has a mask of its own";
    y = ops::Linear(x_, w_);
  }
  y.gradient()->value = upstream;
  tape.Backward();
  Values expected = TimesTransposed(Seen(x_, type_), Seen(w_, type_), kRows, kOut, kIn), seen[2];
  Values dx =
      TimesTransposed(Seen(upstream, type_), Transposed(Seen(w_, type_), kOut, kIn), kRows, kIn, kOut);
  for (int i = 0; i < 2; ++i) {
    const auto& [a, b, scale] = i == 0 ? one_ : two_;
    const Dim rank = a.dim(0);
    seen[i] = ToValues(x_);
    for (size_t j = 0; j < seen[i].size(); ++j) seen[i][j] *= factors[i][j];
    const Values low = TimesTransposed(seen[i], ToValues(a), kRows, rank, kIn);
    AddTo(expected, TimesTransposed(low, ToValues(b), kRows, kOut, rank), scale);
    const Values dlow =
        TimesTransposed(ToValues(upstream), Transposed(ToValues(b), kOut, rank), kRows, rank, kOut);
    Values dseen = TimesTransposed(dlow, Transposed(ToValues(a), rank, kIn), kRows, kIn, rank);
    for (size_t j = 0; j < dseen.size(); ++j) dseen[j] *= factors[i][j];
    AddTo(dx, dseen, scale);
    if (i > 0) continue;
    Values da =
        TimesTransposed(Transposed(dlow, kRows, rank), Transposed(seen[i], kRows, kIn), rank, kIn, kRows);
    Values db = TimesTransposed(Transposed(ToValues(upstream), kRows, kOut), Transposed(low, kRows, rank),
                                kOut, rank, kRows);
    for (Values* d : {&da, &db}) AddTo(*d, *d, scale - 1);
    ExpectNear(ToValues(a.grad()), da, 1e-6, "A");
    ExpectNear(ToValues(b.grad()), db, 1e-6, "B");
  }
  ExpectNear(ToValues(y), expected, 1e-6, "y");
  ExpectNear(ToValues(x_.grad()), dx, 1e-6, "x");
}

TEST_P(AdaptedProduct, ARowIsTheSameToTheBitInAnyBatch) {
  Adapters adapters;
  adapters.Add(w_, one_);
  const AdaptersInForce scope(&adapters);
  const Tensor all = ops::Linear(x_, w_);
  for (int row = 0; row < kRows; ++row) {
    const Tensor alone = ops::Linear(ops::Rows(x_, std::vector<int>{row}), w_);
    for (Dim i = 0; i < kOut; ++i) ASSERT_EQ(alone.data()[i], all.data()[row * kOut + i]) << row;
  }
}

TEST(Adapters, RefuseFactorsThatDoNotFit) {
  Adapters adapters;
  const Tensor weight = Tensor::Zeros({5, 8});
  EXPECT_THROW(adapters.Add(weight, {Tensor::Zeros({2, 7}), Tensor::Zeros({5, 2})}), Error);
  EXPECT_THROW(adapters.Add(weight, {Tensor::Zeros({2, 8}), Tensor::Zeros({5, 3})}), Error);
  EXPECT_THROW(adapters.Add(weight, {Tensor::Zeros({2, 8}, DType::kBf16), Tensor::Zeros({5, 2})}), Error);
}

// Rather than leave an addition out in silence.
TEST(Adapters, AreRefusedWhereAMatrixIsMultipliedStepByStep) {
  const Tensor u = Tensor::Zeros({4, 4}), other = Tensor::Zeros({4, 4}), x = Tensor::Zeros({3, 4}),
               state = Tensor::Zeros({1, 1, 4});
  Sequences sequences;
  sequences.start = {0, 3};
  sequences.slot = {0};
  const auto run = [&](const Tensor& adapted) {
    Adapters adapters;
    adapters.Add(adapted, {Tensor::Zeros({2, 4}), Tensor::Zeros({4, 2})});
    const AdaptersInForce scope(&adapters);
    ops::RecurrentCell(CellKind::kTanh, {{x}, {u}}, sequences, {state, state});
  };
  EXPECT_NO_THROW(run(other));
  EXPECT_THROW(run(u), Error);
}

INSTANTIATE_TEST_SUITE_P(All, AdaptedProduct,
                         testing::Values(DType::kF32, DType::kBf16, DType::kF16, DType::kQ8_0, DType::kQ4_K),
                         [](const auto& info) { return std::string(Traits(info.param).name); });

}  // namespace
}  // namespace linnet

// The row-wise ops, over shapes that do and do not fill vectors and threads.
#include "ops/op_case.h"

namespace linnet {
namespace {

using ops::Act;
using ops::WeightLayout;

struct LinearCase {
  Dim rows, in, out;
};

Values Activated(Values y, Act act) {
  for (double& x : y) {
    if (act == Act::kTanh) x = std::tanh(x);
    if (act == Act::kSigmoid) x = reference::Sigmoid(x);
    if (act == Act::kRelu2) x = std::pow(std::max(0.0, x), 2);
    if (act == Act::kExp) x = std::exp(x);
  }
  return y;
}

class Linear : public testing::TestWithParam<LinearCase> {};

TEST_P(Linear, IsTheProductPlusBiasThroughTheActivationInBothLayouts) {
  const Dim rows = GetParam().rows, in = GetParam().in, out = GetParam().out;
  for (Act act : {Act::kNone, Act::kTanh, Act::kSigmoid, Act::kRelu2, Act::kExp}) {
    for (WeightLayout layout : {WeightLayout::kOutIn, WeightLayout::kInOut}) {
      const bool out_in = layout == WeightLayout::kOutIn;
      const double scale = 1 / std::sqrt(static_cast<double>(in));
      Check(OpCase{"act " + std::to_string(static_cast<int>(act)) + (out_in ? " out-in" : " in-out"),
                   {RandomTensor({rows, in}, 1),
                    RandomTensor(out_in ? Shape{out, in} : Shape{in, out}, 2, scale), RandomTensor({out}, 3)},
                   [=](const auto& t) { return std::vector{ops::Linear(t[0], t[1], t[2], act, layout)}; },
                   [=](const auto& v) {
                     const Values weight = out_in ? v[1] : reference::Transposed(v[1], in, out);
                     return Outputs{Activated(reference::Linear(v[0], weight, v[2], in, out), act)};
                   }});
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Linear,
                         testing::Values(LinearCase{1, 1, 1}, LinearCase{1, 37, 70}, LinearCase{3, 64, 5},
                                         LinearCase{8, 130, 66}, LinearCase{9, 33, 48},
                                         LinearCase{40, 17, 129}));

TEST(LinearBf16, RoundsItsInputAndSumsInFloat32) {
  for (Dim rows : {1, 5, 40}) {
    const Dim in = 70, out = 33;
    const Tensor x = RandomTensor({rows, in}, 1), w = RandomTensor({out, in}, 2, 0.1);
    const Tensor weight = Tensor::Empty({out, in}, DType::kBf16);
    Backend::For(Device::kCpu).Convert(w, weight);
    Values xs = ToValues(x), ws;
    for (double& v : xs) v = ToFloat(ToBf16(static_cast<float>(v)));
    for (Dim i = 0; i < weight.size(); ++i) ws.push_back(ToFloat(weight.data<Bf16>()[i]));
    const Values expected = reference::Linear(xs, ws, {}, in, out);
    const Tensor y = ops::Linear(x, weight);
    for (Dim i = 0; i < y.size(); ++i)
      EXPECT_NEAR(y.data()[i], expected[i], 1e-5) << rows << " rows, element " << i;
  }
}

TEST(LinearBf16, GradientsAreThoseOfFloat32UpToRounding) {
  const Dim rows = 40, in = 64, out = 48;
  const Tensor x = RandomTensor({rows, in}, 1), w = RandomTensor({out, in}, 2, 0.1),
               dy = RandomTensor({rows, out}, 3);
  const Tensor rounded = Tensor::Empty({out, in}, DType::kBf16);
  Backend::For(Device::kCpu).Convert(w, rounded);
  std::vector<Values> dx, dw;
  for (const Tensor& weight : {w, rounded}) {
    const Tensor input = x.Clone();
    input.Track();
    weight.Track();
    Tape tape;
    const Tensor y = ops::Linear(input, weight, {}, Act::kSigmoid);
    Accumulate(y.gradient(), dy);
    tape.Backward();
    EXPECT_EQ(weight.grad().dtype(), DType::kF32);
    dx.push_back(ToValues(input.grad()));
    dw.push_back(ToValues(weight.grad()));
  }
  for (const auto& pair : {dx, dw}) {
    Values difference = pair[0];
    for (size_t i = 0; i < difference.size(); ++i) difference[i] -= pair[1][i];
    EXPECT_LE(Norm(difference), 0.01 * Norm(pair[0]));
    EXPECT_GT(Norm(difference), 0) << "nothing was rounded";
  }
}

TEST(Linear, RefusesWhatDoesNotFit) {
  EXPECT_THROW(ops::Linear(RandomTensor({2, 5}, 1), RandomTensor({3, 4}, 2)), Error);
  EXPECT_THROW(ops::Linear(RandomTensor({2, 4}, 1), RandomTensor({3, 4}, 2), RandomTensor({4}, 3)), Error);
}

class RowWise : public testing::TestWithParam<std::pair<Dim, Dim>> {};  // rows, width

TEST_P(RowWise, Add) {
  const Dim n = GetParam().first, c = GetParam().second;
  Check(OpCase{"add",
               {RandomTensor({n, c}, 1), RandomTensor({n, c}, 2)},
               [](const auto& t) { return std::vector{ops::Add(t[0], t[1])}; },
               [](const auto& v) {
                 Values y = v[0];
                 for (size_t i = 0; i < y.size(); ++i) y[i] += v[1][i];
                 return Outputs{y};
               }});
}

TEST_P(RowWise, Lerp) {
  const Dim n = GetParam().first, c = GetParam().second;
  Check(OpCase{"lerp",
               {RandomTensor({n, c}, 1), RandomTensor({n, c}, 2), RandomTensor({n, c}, 3)},
               [](const auto& t) { return std::vector{ops::Lerp(t[0], t[1], t[2])}; },
               [](const auto& v) {
                 Values y = v[0];
                 for (size_t i = 0; i < y.size(); ++i) y[i] += (v[1][i] - v[0][i]) * v[2][i];
                 return Outputs{y};
               }});
}

TEST_P(RowWise, Gate) {
  const Dim n = GetParam().first, c = GetParam().second;
  for (GateKind kind : {GateKind::kSigmoid, GateKind::kSilu, GateKind::kPlain}) {
    Check(OpCase{"kind " + std::to_string(static_cast<int>(kind)),
                 {RandomTensor({n, c}, 1), RandomTensor({n, c}, 2, 3)},
                 [=](const auto& t) { return std::vector{ops::Gate(t[0], t[1], kind)}; },
                 [=](const auto& v) { return Outputs{reference::Gate(v[0], v[1], kind)}; }});
  }
}

TEST_P(RowWise, RowMatMul) {
  const Dim n = GetParam().first, c = GetParam().second;
  for (Dim out : {1, 7, 32}) {
    Check(OpCase{std::to_string(out) + " columns",
                 {RandomTensor({n, c}, 1), RandomTensor({n, c * out}, 2)},
                 [=](const auto& t) { return std::vector{ops::RowMatMul(t[0], t[1], out)}; },
                 [=](const auto& v) { return Outputs{reference::RowMatMul(v[0], v[1], c, out)}; }});
  }
}

TEST_P(RowWise, GroupNorm) {
  const Dim n = GetParam().first, c = GetParam().second;
  for (int groups : {1, 2, 4}) {
    if (c % groups != 0 || c / groups < 3) continue;
    Check(OpCase{
        std::to_string(groups) + " groups",
        {RandomTensor({n, c}, 1, 3), RandomTensor({c}, 2), RandomTensor({c}, 3)},
        [=](const auto& t) { return std::vector{ops::GroupNorm(t[0], t[1], t[2], groups, 64e-5f)}; },
        [=](const auto& v) { return Outputs{reference::GroupNorm(v[0], v[1], v[2], groups, 64e-5)}; }});
  }
}

TEST_P(RowWise, EmbeddingAndRows) {
  const Dim n = GetParam().first, c = GetParam().second;
  std::vector<int> ids;
  for (Dim i = 0; i < n; ++i)
    ids.push_back(static_cast<int>(i * 7 % 5));  // rows repeat: their gradients must add up
  const auto gather = [=](const auto& v) {
    Values y;
    for (int id : ids) y.insert(y.end(), v[0].begin() + id * c, v[0].begin() + (id + 1) * c);
    return Outputs{y};
  };
  Check(OpCase{"embedding",
               {RandomTensor({5, c}, 1)},
               [=](const auto& t) { return std::vector{ops::Embedding(t[0], ids)}; },
               gather});
  Check(OpCase{"rows",
               {RandomTensor({5, c}, 1)},
               [=](const auto& t) { return std::vector{ops::Rows(t[0], ids)}; },
               gather});
}

TEST_P(RowWise, SplitColumnsAndUnstack) {
  const Dim n = GetParam().first, c = GetParam().second;
  for (int parts : {1, 2, 3}) {
    if (c % parts != 0) continue;
    Check(OpCase{"columns",
                 {RandomTensor({n, c}, 1)},
                 [=](const auto& t) { return ops::SplitColumns(t[0], parts); },
                 [=](const auto& v) {
                   const Dim width = c / parts;
                   Outputs ys(parts);
                   for (size_t i = 0; i < v[0].size(); ++i) {
                     ys[static_cast<Dim>(i) % c / width].push_back(v[0][i]);
                   }
                   return ys;
                 }});
  }
  Check(OpCase{"leading extent",
               {RandomTensor({3, n, c}, 1)},
               [](const auto& t) { return ops::Unstack(t[0]); },
               [=](const auto& v) {
                 const auto at = [&](int p) { return v[0].begin() + p * n * c; };
                 return Outputs{{at(0), at(1)}, {at(1), at(2)}, {at(2), at(3)}};
               }});
}

TEST_P(RowWise, MakeKeys) {
  const Dim n = GetParam().first, c = GetParam().second;
  for (int heads : {1, 2}) {
    if (c % heads != 0) continue;
    Check(
        OpCase{std::to_string(heads) + " heads",
               {RandomTensor({n, c}, 1), RandomTensor({n, c}, 2), RandomTensor({c}, 3), RandomTensor({c}, 4)},
               [=](const auto& t) {
                 const auto keys = ops::MakeKeys(t[0], t[1], t[2], t[3], heads);
                 return std::vector{keys.key, keys.removal, keys.replacement};
               },
               [=](const auto& v) { return reference::MakeKeys(v[0], v[1], v[2], v[3], heads); }});
  }
}

TEST_P(RowWise, BonusGate) {
  const Dim n = GetParam().first, c = GetParam().second;
  for (int heads : {1, 2}) {
    if (c % heads != 0) continue;
    Check(OpCase{
        std::to_string(heads) + " heads",
        {RandomTensor({n, c}, 1), RandomTensor({n, c}, 2), RandomTensor({n, c}, 3), RandomTensor({n, c}, 4),
         RandomTensor({c}, 5), RandomTensor({n, c}, 6)},
        [=](const auto& t) { return std::vector{ops::BonusGate(t[0], t[1], t[2], t[3], t[4], t[5], heads)}; },
        [=](const auto& v) {
          return Outputs{reference::BonusGate(v[0], v[1], v[2], v[3], v[4], v[5], heads)};
        }});
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, RowWise,
                         testing::Values(std::pair{1, 4}, std::pair{1, 64}, std::pair{3, 10},
                                         std::pair{17, 33}, std::pair{600, 96}));

TEST(Embedding, RefusesTokensBeyondTheVocabulary) {
  EXPECT_THROW(ops::Embedding(RandomTensor({5, 4}, 1), std::vector{5}), Error);
  EXPECT_THROW(ops::Embedding(RandomTensor({5, 4}, 1), std::vector{-1}), Error);
}

TEST(MakeKeys, AZeroKeyStaysZero) {
  const Tensor zero = Tensor::Zeros({1, 8}), ones = RandomTensor({1, 8}, 1);
  const auto keys = ops::MakeKeys(zero, ones, ones.Reshape({8}), ones.Reshape({8}), 2);
  for (const Tensor& t : {keys.key, keys.removal, keys.replacement}) {
    for (Dim i = 0; i < t.size(); ++i) EXPECT_EQ(t.data()[i], 0);
  }
}

TEST(Gelu, IsItsTanhForm) {
  Check(OpCase{"",
               {RandomTensor({7, 33}, 1, 2)},
               [](const auto& t) { return std::vector{ops::Gelu(t[0])}; },
               [](const auto& v) {
                 Values y = v[0];
                 for (double& x : y)
                   x *= (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))) / 2;
                 return Outputs{y};
               }});
}

TEST(ScaleColumns, MultipliesRealAndComplexNumbers) {
  for (const auto& [rows, width] : {std::pair{1, 2}, {5, 34}, {900, 40}}) {
    const std::vector<Tensor> in{RandomTensor({rows, width}, 1), RandomTensor({width}, 2)};
    Check(OpCase{"real", in, [](const auto& t) { return std::vector{ops::ScaleColumns(t[0], t[1])}; },
                 [](const auto& v) {
                   Values y = v[0];
                   for (size_t i = 0; i < y.size(); ++i) y[i] *= v[1][i % v[1].size()];
                   return Outputs{y};
                 }});
    Check(
        OpCase{"complex", in,
               [](const auto& t) { return std::vector{ops::ScaleColumns(t[0], t[1], NumberKind::kComplex)}; },
               [](const auto& v) {
                 const Values &x = v[0], &w = v[1];
                 const size_t width = w.size(), half = width / 2;
                 Values y(x.size());
                 for (size_t i = 0; i < x.size(); ++i) {
                   const size_t c = i % width, at = c % half, row = i - c;
                   y[i] = c < half ? x[row + at] * w[at] - x[row + half + at] * w[half + at]
                                   : x[row + at] * w[half + at] + x[row + half + at] * w[at];
                 }
                 return Outputs{y};
               }});
  }
}

TEST(JoinColumns, IsUndoneBySplitColumns) {
  const std::vector<Tensor> in{RandomTensor({6, 5}, 1), RandomTensor({6, 5}, 2), RandomTensor({6, 5}, 3)};
  Check(OpCase{"", in, [](const auto& t) { return std::vector{ops::JoinColumns(t)}; },
               [](const auto& v) {
                 Values y;
                 for (size_t row = 0; row < 6; ++row) {
                   for (const Values& part : v) y.insert(y.end(), &part[row * 5], &part[row * 5] + 5);
                 }
                 return Outputs{y};
               }});
  const std::vector<Tensor> out = ops::SplitColumns(ops::JoinColumns(in), 3);
  for (size_t p = 0; p < 3; ++p) EXPECT_EQ(ToValues(out[p]), ToValues(in[p]));
}

}  // namespace
}  // namespace linnet

// Cross entropy: values, gradients, rows that do not count, chunks.
#include "ops/op_case.h"

namespace linnet {
namespace {

struct Sizes {
  Dim rows, width, vocab;
};

class CrossEntropy : public testing::TestWithParam<Sizes> {};

TEST_P(CrossEntropy, IsTheMeanNegativeLogLikelihood) {
  const Dim rows = GetParam().rows, width = GetParam().width, vocab = GetParam().vocab;
  std::vector<int> targets;
  for (Dim i = 0; i < rows; ++i) targets.push_back(i % 4 == 3 ? -1 : static_cast<int>(i * 31 % vocab));
  Check(OpCase{"cross entropy",
               {RandomTensor({rows, width}, 1), RandomTensor({vocab, width}, 2)},
               [=](const auto& t) { return std::vector{ops::CrossEntropy(t[0], t[1], targets)}; },
               [=](const auto& v) {
                 const Values logits = reference::Linear(v[0], v[1], {}, width, vocab);
                 return Outputs{Values{reference::CrossEntropy(logits, targets, vocab)}};
               }});
}

INSTANTIATE_TEST_SUITE_P(Shapes, CrossEntropy,
                         testing::Values(Sizes{1, 3, 2}, Sizes{5, 16, 23}, Sizes{33, 8, 300},
                                         Sizes{258, 2,
                                               17000}));  // the last takes more than one chunk of rows

TEST(CrossEntropy, L2WrapAddsToTheFirstLargestLogitAndLeavesTheLossAlone) {
  // With the identity as head the hidden vector is the logits.
  const Dim vocab = 4;
  const Tensor head = Tensor::Zeros({vocab, vocab});
  for (Dim i = 0; i < vocab; ++i) head.data()[i * vocab + i] = 1;
  const Tensor logits = Tensor::Empty({2, vocab});
  const float values[] = {1, 3, 3, 0, -2, -1, -5, -9};
  std::copy_n(values, 8, logits.data());
  std::vector<Tensor> gradients;
  std::vector<float> losses;
  for (float l2_wrap : {0.0f, 0.5f}) {
    const Tensor hidden = logits.Clone();
    hidden.Track();
    Tape tape;
    const Tensor loss = ops::CrossEntropy(hidden, head, std::vector{0, 1}, {l2_wrap});
    tape.Backward(loss);
    losses.push_back(loss.data()[0]);
    gradients.push_back(hidden.grad());
  }
  EXPECT_EQ(losses[0], losses[1]);
  const float expected[] = {0, 0.5f * 3 / 2, 0, 0, 0, 0.5f * -1 / 2, 0, 0};
  for (int i = 0; i < 8; ++i)
    EXPECT_NEAR(gradients[1].data()[i] - gradients[0].data()[i], expected[i], 1e-6) << i;
}

TEST(CrossEntropy, RowsThatShareALossAddUpToIt) {
  const Tensor head = RandomTensor({23, 4}, 2), all = RandomTensor({5, 4}, 1);
  const std::vector<int> targets{3, -1, 22, 0, 7};
  const float whole = ops::CrossEntropy(all, head, targets).data()[0];
  const std::vector<int> first{0, 1, 2}, rest{3, 4};
  const float sum =
      ops::CrossEntropy(ops::Rows(all, first), head, std::span(targets).first(3), {.counted = 4}).data()[0] +
      ops::CrossEntropy(ops::Rows(all, rest), head, std::span(targets).last(2), {.counted = 4}).data()[0];
  EXPECT_NEAR(whole, sum, 1e-6);
}

TEST(CrossEntropy, NeverHoldsAWholeMatrixOfLogits) {
  constexpr Dim kRows = 2048, kVocabulary = 65536, kWidth = 2;
  const Tensor hidden = RandomTensor({kRows, kWidth}, 1), head = RandomTensor({kVocabulary, kWidth}, 2);
  hidden.Track();
  head.Track();
  const std::vector<int> targets(kRows, 5);
  const size_t before = HostMemoryUse().in_use_bytes;
  ResetHostMemoryPeak();
  Tape tape;
  tape.Backward(ops::CrossEntropy(hidden, head, targets));
  const size_t logits = kRows * kVocabulary * sizeof(float);
  EXPECT_LT(HostMemoryUse().peak_bytes - before, logits / 6);
}

TEST(CrossEntropy, NotANumberInNotANumberOut) {
  const Tensor hidden = RandomTensor({3, 4}, 1), head = RandomTensor({5, 4}, 2);
  hidden.data()[5] = std::nanf("");
  EXPECT_FALSE(std::isfinite(ops::CrossEntropy(hidden, head, std::vector{0, 1, 2}).data()[0]));
}

TEST(CrossEntropy, ALogitThatIsNotANumberShowsThoughItIsNotTheTarget) {
  for (Dim vocab : {5, 40}) {
    const Tensor hidden = RandomTensor({1, 4}, 1), head = RandomTensor({vocab, 4}, 2);
    head.data()[4 * 3] = std::nanf("");
    EXPECT_TRUE(std::isnan(ops::CrossEntropy(hidden, head, std::vector{0}).data()[0])) << vocab;
  }
}

TEST(CrossEntropy, RefusesTargetsBeyondTheVocabulary) {
  EXPECT_THROW(ops::CrossEntropy(RandomTensor({1, 4}, 1), RandomTensor({5, 4}, 2), std::vector{5}), Error);
  EXPECT_THROW(ops::CrossEntropy(RandomTensor({2, 4}, 1), RandomTensor({5, 4}, 2), std::vector{1}), Error);
}

}  // namespace
}  // namespace linnet

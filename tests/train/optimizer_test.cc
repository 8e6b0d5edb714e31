// The optimizer against AdamW in double precision, and a step's clipping, averaging and skipping.
#include "train/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "train/refusal.h"
#include "train/step.h"

namespace linnet {
namespace {

TrainableModel TinyModel(MatrixType matrices) {
  const Architecture& architecture = FindArchitecture("rwkv7");
  return NewTrainable(
      architecture,
      architecture.complete_sizes({{"layers", 2}, {"width", 32}, {"head_size", 16}, {"vocab", 256}}), 3,
      matrices);
}

/// AdamW as its paper has it.
struct PlainAdamW {
  double beta1, beta2, eps, decay, lr;
  std::vector<double> p, m, v;

  void Step(const std::vector<double>& gradient, int step) {
    for (size_t i = 0; i < p.size(); ++i) {
      m[i] = beta1 * m[i] + (1 - beta1) * gradient[i];
      v[i] = beta2 * v[i] + (1 - beta2) * gradient[i] * gradient[i];
      const double m_hat = m[i] / (1 - std::pow(beta1, step)), v_hat = v[i] / (1 - std::pow(beta2, step));
      p[i] -= lr * (m_hat / (std::sqrt(v_hat) + eps) + decay * p[i]);
    }
  }
};

class OptimizerTest : public testing::TestWithParam<MatrixType> {};

TEST_P(OptimizerTest, FollowsAdamWInDoublePrecision) {
  constexpr double kLr = 3e-3, kDecay = 0.1, kScale = 0.5;
  const TrainableModel weights = TinyModel(GetParam());
  Optimizer optimizer(weights, {0.9, 0.99, 1e-18, kDecay});
  std::vector<PlainAdamW> plain;
  for (size_t i = 0; i < weights.parameters().size(); ++i) {
    const Parameter& parameter = weights.parameters()[i];
    const Tensor& values = weights.values(i);
    // The reference's groups: names with ".weight" and two extents decay; att.w0 learns twice as fast.
    const bool decays = parameter.name.ends_with(".weight") && parameter.tensor.shape().rank() == 2;
    const bool fast = parameter.name.ends_with("att.w0");
    plain.push_back({0.9, 0.99, 1e-18, decays ? kDecay : 0, kLr * (fast ? 2 : 1),
                     std::vector<double>(values.data(), values.data() + values.size()),
                     std::vector<double>(values.size()), std::vector<double>(values.size())});
  }
  Random random(4);
  for (int step = 1; step <= 5; ++step) {
    for (size_t i = 0; i < plain.size(); ++i) {
      const Tensor gradient = Tensor::Empty(weights.parameters()[i].tensor.shape());
      std::vector<double> scaled;
      for (Dim k = 0; k < gradient.size(); ++k) {
        gradient.data()[k] = static_cast<float>(random.Normal());
        scaled.push_back(kScale * gradient.data()[k]);
      }
      weights.parameters()[i].tensor.gradient()->value = gradient;
      plain[i].Step(scaled, step);
    }
    optimizer.Step(kLr, kScale);
  }
  double worst = 0;
  for (size_t i = 0; i < plain.size(); ++i) {
    const Tensor& values = weights.values(i);
    for (Dim k = 0; k < values.size(); ++k)
      worst = std::max(worst, std::abs(values.data()[k] - plain[i].p[k]));
  }
  EXPECT_LT(worst, 2e-6);
  EXPECT_EQ(optimizer.updates(), 5);
}

TEST_P(OptimizerTest, ModelReadsTheRoundedMasters) {
  const TrainableModel weights = TinyModel(GetParam());
  const TrainableModel exact = TinyModel(MatrixType::kF32);
  Optimizer optimizer(weights, {});
  const auto expect_rounded = [&] {
    for (size_t i = 0; i < weights.parameters().size(); ++i) {
      const Tensor &tensor = weights.parameters()[i].tensor, &values = weights.values(i);
      if (tensor.dtype() != DType::kBf16) continue;
      for (Dim k = 0; k < values.size(); ++k) {
        ASSERT_EQ(tensor.data<Bf16>()[k].bits, ToBf16(values.data()[k]).bits) << weights.parameters()[i].name;
      }
    }
  };
  // Masters begin with the values that were never rounded.
  for (size_t i = 0; i < weights.parameters().size(); ++i) {
    EXPECT_EQ(std::memcmp(weights.values(i).raw(), exact.values(i).raw(), exact.values(i).bytes()), 0);
  }
  expect_rounded();
  for (const Parameter& p : weights.parameters()) {
    p.tensor.gradient()->value = Tensor::Zeros(p.tensor.shape());
    for (Dim k = 0; k < p.tensor.size(); ++k) p.tensor.grad().data()[k] = static_cast<float>(k % 5) - 2;
  }
  optimizer.Step(1e-3, 1);
  expect_rounded();
}

INSTANTIATE_TEST_SUITE_P(Precisions, OptimizerTest, testing::Values(MatrixType::kF32, MatrixType::kBf16),
                         [](const auto& info) { return info.param == MatrixType::kF32 ? "fp32" : "bf16"; });

// -- Steps
// ---------------------------------------------------------------------------------------------------------------

Samples SomeText(int sequences, int first) {
  Samples samples;
  for (int s = 0; s < sequences; ++s) {
    std::vector<int> tokens;
    for (int t = 0; t < 9; ++t) tokens.push_back((7 * t * t + 13 * (s + first) + t) % 256);
    samples.batch.Append({tokens.begin(), tokens.end() - 1}, s);
    samples.targets.insert(samples.targets.end(), tokens.begin() + 1, tokens.end());
  }
  return samples;
}

double LargestDifference(const TrainableModel& a, const TrainableModel& b) {
  double largest = 0;
  for (size_t i = 0; i < a.parameters().size(); ++i) {
    for (Dim k = 0; k < a.values(i).size(); ++k) {
      largest =
          std::max(largest, static_cast<double>(std::abs(a.values(i).data()[k] - b.values(i).data()[k])));
    }
  }
  return largest;
}

TEST(Step, AccumulatedBatchesAreOneLargeBatch) {
  const TrainableModel one = TinyModel(MatrixType::kF32), two = TinyModel(MatrixType::kF32);
  // A large epsilon keeps the update proportional to the gradient, where Adam's sign would hide or blow up
  // differences.
  Optimizer first(one, {.eps = 1}), second(two, {.eps = 1});
  const std::vector<Samples> whole{SomeText(4, 0)}, halves{SomeText(2, 0), SomeText(2, 2)};
  const State state = one.model.NewState(4, State::Mode::kKeepInitial);
  const StepOutcome a = TrainStep(one.model, first, whole, state, 1e-2, {});
  const StepOutcome b = TrainStep(two.model, second, halves, state, 1e-2, {});
  EXPECT_NEAR(a.loss, b.loss, 1e-6);
  EXPECT_NEAR(a.gradient_norm / b.gradient_norm, 1, 1e-5);
  EXPECT_LT(LargestDifference(one, two), 1e-7);
}

TEST(Step, ClippingScalesTheGradientToTheLimit) {
  const TrainableModel clipped = TinyModel(MatrixType::kF32), scaled = TinyModel(MatrixType::kF32);
  Optimizer first(clipped, {.eps = 1, .weight_decay = 0}), second(scaled, {.eps = 1, .weight_decay = 0});
  const std::vector<Samples> batch{SomeText(2, 0)};
  const State state = clipped.model.NewState(2, State::Mode::kKeepInitial);
  const StepOutcome outcome = TrainStep(clipped.model, first, batch, state, 1e-2, {.clip = 0.5});
  ASSERT_GT(outcome.gradient_norm, 0.5);
  ForwardBackward(scaled.model, batch[0], state, 1e-4);
  EXPECT_DOUBLE_EQ(second.GradientNorm(), outcome.gradient_norm);
  second.Step(1e-2, 0.5 / (outcome.gradient_norm + 1e-6));
  EXPECT_EQ(LargestDifference(clipped, scaled), 0);
}

TEST(Step, WhatIsNoNumberIsSkippedAndLeavesNoTrace) {
  const TrainableModel weights = TinyModel(MatrixType::kF32), untouched = TinyModel(MatrixType::kF32);
  Optimizer optimizer(weights, {}), other(untouched, {});
  const std::vector<Samples> batch{SomeText(2, 0)};
  const State state = weights.model.NewState(2, State::Mode::kKeepInitial);
  float& weight = weights.model.model->head().data()[5];
  const float before = weight;
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    weight = bad;
    const StepOutcome outcome = TrainStep(weights.model, optimizer, batch, state, 1e-2, {});
    EXPECT_TRUE(outcome.skipped);
    EXPECT_FALSE(std::isfinite(outcome.loss) && std::isfinite(outcome.gradient_norm)) << "with " << bad;
  }
  weight = before;
  EXPECT_EQ(optimizer.updates(), 0);
  EXPECT_EQ(LargestDifference(weights, untouched), 0);
  EXPECT_FALSE(TrainStep(weights.model, optimizer, batch, state, 1e-2, {}).skipped);
  EXPECT_FALSE(TrainStep(untouched.model, other, batch, state, 1e-2, {}).skipped);
  EXPECT_EQ(LargestDifference(weights, untouched), 0);
}

TEST(Step, RecomputingBlocksChangesNothing) {
  const TrainableModel kept = TinyModel(MatrixType::kF32), again = TinyModel(MatrixType::kF32);
  Optimizer first(kept, {}), second(again, {});
  std::vector<Samples> batch{SomeText(2, 0)};
  const State state = kept.model.NewState(2, State::Mode::kKeepInitial);
  const StepOutcome a = TrainStep(kept.model, first, batch, state, 1e-2, {});
  batch[0].batch.recompute = true;
  const StepOutcome b = TrainStep(again.model, second, batch, state, 1e-2, {});
  EXPECT_EQ(a.loss, b.loss);
  EXPECT_NEAR(a.gradient_norm / b.gradient_norm, 1, 1e-6);
}

}  // namespace
}  // namespace linnet

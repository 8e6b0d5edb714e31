// Dropout in a training step, of every architecture.
#include <gtest/gtest.h>

#include "train/step.h"

namespace linnet {
namespace {

TrainableModel Tiny(const std::string& arch) {
  const Architecture& architecture = FindArchitecture(arch);
  Sizes sizes{{"layers", 2}, {"width", 32}, {"vocab", 64}};
  if (arch != "rwkv4") sizes["head_size"] = 16;
  TrainableModel weights =
      NewTrainable(architecture, architecture.complete_sizes(sizes), 3, MatrixType::kF32);
  // Matrices that begin as 0 would leave nothing to drop in what follows them.
  Random random(2);
  for (const Parameter& p : weights.parameters()) {
    if (p.role == Role::kVector) continue;
    for (Dim i = 0; i < p.tensor.size(); ++i) p.tensor.data()[i] += static_cast<float>(0.1 * random.Normal());
  }
  return weights;
}

Samples SomeText(int sequences, int first) {
  Samples samples;
  for (int s = 0; s < sequences; ++s) {
    std::vector<int> tokens;
    for (int t = 0; t < 9; ++t) tokens.push_back((7 * t * t + 13 * (s + first) + t) % 64);
    samples.batch.Append({tokens.begin(), tokens.end() - 1}, s);
    samples.targets.insert(samples.targets.end(), tokens.begin() + 1, tokens.end());
  }
  return samples;
}

class DropoutTest : public testing::TestWithParam<std::string> {
 protected:
  StepOutcome Step(const std::vector<Samples>& batches, const ops::DropoutMask& mask) const {
    const TrainableModel weights = Tiny(GetParam());
    Optimizer optimizer(weights, {});
    const State state = weights.model.NewState(4, State::Mode::kKeepInitial);
    return TrainStep(weights.model, optimizer, batches, state, 1e-2, {.dropout = mask});
  }
};

TEST_P(DropoutTest, ABlockThatIsRunAgainDropsTheSame) {
  std::vector<Samples> batch{SomeText(2, 0)};
  const StepOutcome kept = Step(batch, {0.2f, 1, 5});
  batch[0].batch.recompute = true;
  const StepOutcome again = Step(batch, {0.2f, 1, 5});
  EXPECT_EQ(kept.loss, again.loss);
  EXPECT_NEAR(kept.gradient_norm / again.gradient_norm, 1, 1e-6);
}

TEST_P(DropoutTest, AccumulatedBatchesAreOneLargeBatch) {
  const StepOutcome whole = Step({SomeText(4, 0)}, {0.2f, 1, 5}),
                    halves = Step({SomeText(2, 0), SomeText(2, 2)}, {0.2f, 1, 5});
  EXPECT_NEAR(whole.loss, halves.loss, 1e-6);
  EXPECT_NEAR(whole.gradient_norm / halves.gradient_norm, 1, 1e-5);
}

TEST_P(DropoutTest, StepsDifferAndNoneIsAsBefore) {
  const std::vector<Samples> batch{SomeText(2, 0)};
  const double without = Step(batch, {}).loss, one = Step(batch, {0.2f, 1, 5}).loss,
               other = Step(batch, {0.2f, 1, 6}).loss;
  EXPECT_EQ(one, Step(batch, {0.2f, 1, 5}).loss);
  EXPECT_NE(one, other);
  EXPECT_NE(one, without);
}

INSTANTIATE_TEST_SUITE_P(Architectures, DropoutTest,
                         testing::Values("rwkv4", "rwkv5", "rwkv6", "rwkv7", "rwkv7a", "rwkv7b"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace linnet

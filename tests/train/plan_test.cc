// What a plan says, and what then happens. Times are compared by bench/plan_bench.cc, not here: a machine's
// noise must not fail a build.
#include "train/plan.h"

#include <gtest/gtest.h>

#include "cli/program.h"
#include "nn/conversion.h"
#include "tensor/memory.h"
#include "train/refusal.h"
#include "train/trainer.h"
#include "train/weights.h"

namespace linnet {
namespace {

/// Watches memory once the model is there.
class MemoryWatch : public TrainObserver {
 public:
  void Started(const RunFacts& run) override {
    parameters = run.weights->model.params->count();
    ResetHostMemoryPeak();
  }
  int64_t parameters = 0;
};

class Plans : public testing::Test {
 protected:
  Plans() {
    std::string text;
    Random random(1);
    for (int i = 0; i < 30000; ++i) text += "abcdefgh \n"[random.Below(10)];
    WriteFile(folder_ / "text", text);
    options_.data = {folder_ / "text"};
    options_.layers = 5;
    options_.width = 64;
    options_.head_size = 16;
    options_.ctx = 64;
    options_.batch = 4;
    options_.steps = 3;
    options_.val_every = 0;
    options_.out = folder_ / "run";
  }

  /// The most tensor memory that a run of these options has in use at once; and its parameters.
  std::pair<double, int64_t> PeakOfRun() const {
    const auto before = static_cast<double>(HostMemoryUse().in_use_bytes);
    MemoryWatch watch;
    Train(options_, watch);
    std::filesystem::remove_all(options_.out);
    return {static_cast<double>(HostMemoryUse().peak_bytes) - before, watch.parameters};
  }

  void ExpectWithin15Percent() const {
    const RunPlan plan = PlanRun(options_);
    EXPECT_TRUE(plan.whole_model);
    EXPECT_FALSE(std::filesystem::exists(options_.out)) << "a plan writes nothing";
    const double estimate = EstimatePeakBytes(options_);
    const auto [peak, parameters] = PeakOfRun();
    EXPECT_EQ(plan.parameters, parameters);
    EXPECT_NEAR(plan.memory.peak / peak, 1, 0.15);
    EXPECT_NEAR(estimate / peak, 1, 0.15);
  }

  TemporaryFolder folder_;
  TrainOptions options_;
};

TEST_F(Plans, MemoryThatActivationsFill) {
  options_.batch = 16;
  ExpectWithin15Percent();
}

TEST_F(Plans, MemoryThatWeightsFill) {
  options_.ctx = 8;
  options_.batch = 1;
  options_.width = 128;
  ExpectWithin15Percent();
}

TEST_F(Plans, MemoryInBf16OfSeveralPasses) {
  options_.precision = "bf16";
  options_.accumulate = 3;
  ExpectWithin15Percent();
}

TEST_F(Plans, MemoryOfBlocksThatAreRunAgain) {
  options_.recompute = true;
  options_.batch = 16;
  ExpectWithin15Percent();
}

TEST_F(Plans, MemoryOfAnotherArchitecture) {
  options_.arch = "rwkv4";
  options_.head_size = 0;
  ExpectWithin15Percent();
}

/// Of what is trained beside a model, whose weights are used where they lie in its file.
class PlansBeside : public Plans {
 protected:
  void WriteBase(DType type) {
    const Architecture& rwkv7 = FindArchitecture("rwkv7");
    const LoadedModel model = NewModel(
        rwkv7, rwkv7.complete_sizes({{"layers", 5}, {"width", 64}, {"head_size", 16}, {"vocab", 256}}), 1);
    std::vector<NamedTensor> tensors;
    for (const Parameter& p : model.params->parameters()) tensors.push_back({p.name, p.tensor});
    WriteSafetensors(folder_ / "f32", tensors, {});
    Conversion(folder_ / "f32", FileFormat::kSafetensors, type).Write(folder_ / "base");
    options_.init = folder_ / "base";
    options_.batch = 2;
  }

  void ExpectWithin15PercentBeside() const {
    const auto before = static_cast<double>(HostMemoryUse().in_use_bytes);
    double bytes = 0, mapped = 0;
    {
      const LoadedModel model = LoadModel(options_.init);
      for (const Parameter& p : model.params->parameters()) bytes += static_cast<double>(p.tensor.bytes());
      mapped = bytes - (static_cast<double>(HostMemoryUse().in_use_bytes) - before);
    }
    const RunPlan plan = PlanRun(options_);
    const auto trained = static_cast<double>(plan.trained);
    EXPECT_EQ(plan.memory.weights, bytes + (options_.pissa ? 8 : 4) * trained);
    EXPECT_EQ(plan.memory.gradients, 4 * trained);
    EXPECT_EQ(plan.memory.moments, 8 * trained);
    EXPECT_EQ(plan.memory.masters, 0);
    EXPECT_GT(plan.step_seconds, 0);
    const double estimate = EstimatePeakBytes(options_);
    const double peak = PeakOfRun().first + mapped;
    EXPECT_NEAR(plan.memory.peak / peak, 1, 0.15);
    EXPECT_NEAR(estimate / peak, 1, 0.15) << "from steps of parts";
  }
};

TEST_F(PlansBeside, ALora) {
  for (DType type : {DType::kF32, DType::kBf16, DType::kQ8_0}) {
    SCOPED_TRACE(Traits(type).name);
    WriteBase(type);
    options_.lora = 4;
    ExpectWithin15PercentBeside();
  }
  // A block has four matrices [64, 64] and two with 256 on one side.
  EXPECT_EQ(PlanRun(options_).trained, 5 * (4 * (4 * (64 + 64)) + 2 * 4 * (64 + 256)));
  options_.lora_targets = "blocks.3.att.key,ffn.*";
  EXPECT_EQ(PlanRun(options_).trained, 4 * (64 + 64) + 5 * 2 * 4 * (64 + 256));
  EXPECT_GT(EstimatePeakBytes(options_), 0) << "of parts that have no layer 3";
  options_.lora_targets = "", options_.recompute = true, options_.pissa = true;
  ExpectWithin15PercentBeside();
}

TEST_F(PlansBeside, InitialStates) {
  for (DType type : {DType::kF32, DType::kQ8_0}) {
    SCOPED_TRACE(Traits(type).name);
    WriteBase(type);
    options_.tune = "state";
    ExpectWithin15PercentBeside();
  }
  EXPECT_EQ(PlanRun(options_).trained, 5 * 4 * 16 * 16);
}

TEST_F(PlansBeside, OperationsAreThoseOfWhatIsTrained) {
  WriteBase(DType::kF32);
  options_.lora = 4;
  const RunPlan lora = PlanRun(options_);
  options_.lora = 0, options_.tune = "state";
  const RunPlan state = PlanRun(options_);
  options_.tune = "full";
  const RunPlan full = PlanRun(options_);
  EXPECT_EQ(full.trained, full.parameters);
  const double recurrence =
      3 * FindArchitecture("rwkv7").recurrence_flops({{"layers", 5}, {"width", 64}, {"head_size", 16}});
  EXPECT_NEAR((state.flops_per_token - recurrence) / (full.flops_per_token - recurrence), 4.0 / 6, 1e-9);
  EXPECT_NEAR(lora.flops_per_token - state.flops_per_token, 6 * static_cast<double>(lora.trained), 1e-6);
}

TEST_F(Plans, CountWhatTheySay) {
  const RunPlan plan = PlanRun(options_);
  EXPECT_EQ(plan.tokens_per_step, 256);
  EXPECT_EQ(plan.steps, 3);
  const auto parameters = static_cast<double>(plan.parameters);
  EXPECT_EQ(plan.trained, plan.parameters);
  EXPECT_EQ(plan.memory.weights, 4 * parameters);
  EXPECT_EQ(plan.memory.masters, 0);
  EXPECT_EQ(plan.memory.gradients, 4 * parameters);
  EXPECT_EQ(plan.memory.moments, 8 * parameters);
  EXPECT_EQ(plan.memory.data, 30000);
  EXPECT_GT(plan.flops_per_token, 5 * parameters);
  EXPECT_GT(plan.step_seconds, 0);
  EXPECT_GT(plan.start_seconds, 0);
  EXPECT_GT(plan.run_seconds, plan.start_seconds + 3 * plan.step_seconds + plan.save_seconds);
}

TEST_F(Plans, CheckpointsTakeTime) {
  options_.steps = 400;
  options_.save_every = "400";
  const RunPlan one = PlanRun(options_);
  options_.save_every = "1";
  const RunPlan many = PlanRun(options_);
  const auto saving = [](const RunPlan& plan) {
    return (plan.run_seconds - 400 * plan.step_seconds - plan.start_seconds) / plan.save_seconds;
  };
  EXPECT_FALSE(std::filesystem::exists(options_.out)) << "a plan leaves nothing";
  if (one.save_seconds == 0) GTEST_SKIP() << "this disk has no files without names to measure it with";
  EXPECT_GE(saving(many), 399.9);
  EXPECT_GE(saving(one), 0.9);
}

TEST_F(Plans, RunsBeyondTheMachineAreRefusedWithRemedies) {
  options_.layers = 1000;
  options_.width = 65536;
  options_.head_size = 64;
  MemoryWatch watch;
  EXPECT_TRUE(Refused([&] { Train(options_, watch); },
                      {"GB are available", "--recompute", "--batch", "--over-memory"}));
  EXPECT_EQ(watch.parameters, 0) << "before the start";
  options_.recompute = true;
  EXPECT_FALSE(Refused([&] { Train(options_, watch); }, {"--recompute"}));
  EXPECT_TRUE(Refused([&] { PlanRun(options_); }, {"to be measured"}));
}

TEST_F(Plans, WhatTheRunWouldRefuseThePlanRefuses) {
  options_.steps = 0;
  EXPECT_TRUE(Refused([&] { PlanRun(options_); }, {"--steps"}));
  options_.steps = 3;
  options_.ctx = 40000;
  EXPECT_TRUE(Refused([&] { PlanRun(options_); }, {"text", "--ctx"}));
  options_.ctx = 64;
  options_.resume = true;
  EXPECT_TRUE(Refused([&] { PlanRun(options_); }, {"--resume"}));
}

}  // namespace
}  // namespace linnet

// Fine-tuning beside a frozen model: what it computes, and that its gradients are the numeric ones.
#include "train/tuning.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "cli/program.h"
#include "kernels/backend.h"
#include "nn/conversion.h"
#include "ops/adapter_dropout.h"
#include "ops/ops.h"
#include "train/step.h"
#include "train/tuned_states.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

/// A file of a model in which no parameter is at a value, such as zero, that hides others from the loss. Its
/// rows are whole blocks of q4_k.
fs::path WriteWarmModel(const fs::path& path, const std::string& arch) {
  const Architecture& architecture = FindArchitecture(arch);
  Sizes sizes{{"layers", 2}, {"width", 256}, {"ffn", 256}, {"vocab", 256}};
  if (arch != "rwkv4") sizes["head_size"] = 32;
  const LoadedModel model = NewModel(architecture, architecture.complete_sizes(sizes), 1);
  std::vector<NamedTensor> tensors;
  for (const Parameter& p : model.params->parameters()) {
    Random random(7, tensors.size());
    const double scale = p.role == Role::kVector ? 0.1 : 1 / std::sqrt(static_cast<double>(p.tensor.dim(1)));
    for (Dim i = 0; i < p.tensor.size(); ++i)
      p.tensor.data()[i] += static_cast<float>(scale * random.Normal());
    tensors.push_back({p.name, p.tensor});
  }
  WriteSafetensors(path, tensors, {});
  return path;
}

Samples SomeSamples() {
  Samples samples;
  for (int s = 0; s < 2; ++s) {
    std::vector<int> tokens;
    for (int i = 0; i < 17 - 6 * s; ++i) tokens.push_back((i * i * 7 + s * 13 + i) % 256);
    samples.batch.Append(tokens, 1 - s);
    for (int token : tokens) samples.targets.push_back((token * 5 + 1) % 256);
  }
  return samples;
}

class Tuning : public testing::Test {
 protected:
  TrainOptions Options(const std::string& arch, DType type = DType::kF32) const {
    const fs::path f32 = folder_ / (arch + ".safetensors"),
                   converted = folder_ / (arch + "-converted.safetensors");
    if (!fs::exists(f32)) WriteWarmModel(f32, arch);
    TrainOptions options;
    options.init = f32;
    if (type == DType::kF32) return options;
    Conversion(f32, FileFormat::kSafetensors, type).Write(converted);
    options.init = converted;
    return options;
  }

  static double Loss(const TrainableModel& weights) {
    return MeanLoss(weights.model, std::vector{SomeSamples()}, NewState(weights));
  }
  static State NewState(const TrainableModel& weights) {
    return weights.model.NewState(2, State::Mode::kKeepInitial);
  }
  /// Moves every trained parameter to where no gradient hides.
  static void Warm(const TrainableModel& weights, double scale) {
    Random random(3);
    for (const Parameter& p : weights.parameters()) {
      for (Dim i = 0; i < p.tensor.size(); ++i)
        p.tensor.data()[i] += static_cast<float>(scale * random.Normal());
    }
  }
  static void Backward(const TrainableModel& weights, bool recompute = false) {
    for (const Parameter& p : weights.parameters()) p.tensor.ClearGrad();
    Samples samples = SomeSamples();
    samples.batch.recompute = recompute;
    const State state = NewState(weights);
    ForwardBackward(weights.model, samples, state, 0);
  }

  /// Along its own gradient the loss must rise by the gradient's norm.
  static void ExpectNumericGradients(const TrainableModel& weights, double tolerance,
                                     std::vector<float> steps) {
    Backward(weights);
    for (const Parameter& p : weights.parameters()) {
      ASSERT_TRUE(p.tensor.grad()) << p.name;
      const Tensor gradient = p.tensor.grad().Clone(), keep = p.tensor.Clone();
      double norm = 0;
      for (Dim i = 0; i < gradient.size(); ++i) norm += std::pow(gradient.data()[i], 2);
      norm = std::sqrt(norm);
      ASSERT_GT(norm, 1e-5) << p.name;
      const auto at = [&](float step) {
        for (Dim i = 0; i < keep.size(); ++i) {
          p.tensor.data()[i] = keep.data()[i] + step * static_cast<float>(gradient.data()[i] / norm);
        }
        const double loss = Loss(weights);
        std::copy_n(keep.data(), keep.size(), p.tensor.data());
        return loss;
      };
      double numeric = 0;
      for (float h : steps) {
        numeric = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
        if (std::abs(numeric - norm) <= tolerance * norm + 1e-4) break;
      }
      EXPECT_NEAR(numeric, norm, tolerance * norm + 1e-4) << p.name;
    }
  }

  TemporaryFolder folder_;
};

TEST_F(Tuning, GradientsOfAdaptersAreNumericOnes) {
  for (const char* arch : {"rwkv4", "rwkv5", "rwkv6", "rwkv7"}) {
    SCOPED_TRACE(arch);
    TrainOptions options = Options(arch);
    options.lora = 3;
    options.lora_alpha = 6;
    const TrainableModel weights = StartTuning(options, {});
    Warm(weights, 0.05);
    ExpectNumericGradients(weights, 0.01, {1e-2f, 4e-3f, 1e-3f});
  }
}

TEST_F(Tuning, GradientsWithDropoutAreNumericOnes) {
  for (const char* arch : {"rwkv6", "rwkv7"}) {
    SCOPED_TRACE(arch);
    TrainOptions options = Options(arch);
    options.lora = 3;
    const TrainableModel weights = StartTuning(options, {});
    Warm(weights, 0.05);
    const double whole = Loss(weights);
    const ops::DropoutScope scope({.seed = 1, .step = 4});
    std::vector<Tensor> factors;
    for (const Parameter& p : weights.parameters()) factors.push_back(p.tensor);
    const ops::AdapterDropoutScope of_adapters(0.4f, factors);
    EXPECT_GT(std::abs(Loss(weights) - whole), 1e-4) << "nothing is dropped";
    ExpectNumericGradients(weights, 0.01, {1e-2f, 4e-3f, 1e-3f});
  }
}

// The mask follows from the rows, however they are cut into passes.
TEST_F(Tuning, StepsWithDropoutAreTheSameHoweverTheyAreComputed) {
  TrainOptions options = Options("rwkv7");
  options.lora = 3;
  const TrainableModel weights = StartTuning(options, {});
  Warm(weights, 0.05);
  const auto step = [&](bool recompute, int64_t chunk, float dropout) {
    std::vector<Samples> batch{SomeSamples()};
    batch[0].batch.recompute = recompute;
    Optimizer optimizer(weights, {});
    return TrainStep(weights.model, optimizer, batch, NewState(weights), 0,
                     {.chunking = {chunk}, .dropout = {.seed = 1, .step = 4}, .adapter_dropout = dropout});
  };
  const StepOutcome one = step(false, 0, 0.4f);
  EXPECT_EQ(step(false, 0, 0.4f).gradient_norm, one.gradient_norm);
  EXPECT_EQ(step(true, 0, 0.4f).loss, one.loss);
  EXPECT_NEAR(step(true, 0, 0.4f).gradient_norm / one.gradient_norm, 1, 1e-6);
  EXPECT_NEAR(step(false, 5, 0.4f).loss, one.loss, 1e-6);
  EXPECT_NEAR(step(false, 5, 0.4f).gradient_norm / one.gradient_norm, 1, 1e-5);
  EXPECT_NE(step(false, 0, 0).loss, one.loss);
}

TEST_F(Tuning, GradientsFlowThroughFrozenWeightsOfAnyType) {
  // Activations are rounded to bf16 before a product with such weights, so the loss is a staircase that has
  // no numeric gradient. But it is that of the model with the same weights in float32, whose gradients are
  // the numeric ones, but for that rounding.
  for (DType type : {DType::kBf16, DType::kQ8_0, DType::kQ4_K}) {
    SCOPED_TRACE(Traits(type).name);
    TrainOptions options = Options("rwkv7", type), decoded = options;
    decoded.init = folder_ / "decoded.safetensors";
    Conversion(options.init, FileFormat::kSafetensors, DType::kF32).Write(decoded.init);
    options.lora = decoded.lora = 3;
    const TrainableModel weights = StartTuning(options, {}), exact = StartTuning(decoded, {});
    for (const TrainableModel* model : {&weights, &exact}) {
      Warm(*model, 0.05);
      Backward(*model);
    }
    for (size_t i = 0; i < weights.parameters().size(); ++i) {
      const Parameter &a = weights.parameters()[i], &b = exact.parameters()[i];
      double difference = 0, norm = 0;
      for (Dim j = 0; j < a.tensor.size(); ++j) {
        difference += std::pow(a.tensor.grad().data()[j] - b.tensor.grad().data()[j], 2);
        norm += std::pow(b.tensor.grad().data()[j], 2);
      }
      EXPECT_LE(std::sqrt(difference / norm), 0.03) << a.name;
    }
    for (const Parameter& p : weights.model.params->parameters()) {
      EXPECT_FALSE(p.tensor.tracked()) << p.name;
      if (p.name == "blocks.0.ffn.key.weight") {
        EXPECT_EQ(p.tensor.dtype(), type);
      }
    }
  }
}

TEST_F(Tuning, GradientsOfInitialStatesAreNumericOnes) {
  for (const char* arch : {"rwkv5", "rwkv6", "rwkv7"}) {
    SCOPED_TRACE(arch);
    TrainOptions options = Options(arch);
    options.tune = "state";
    const TrainableModel weights = StartTuning(options, {});
    EXPECT_EQ(weights.parameters().size(), 2u);
    EXPECT_EQ(weights.parameters()[1].name, "blocks.1.att.time_state");
    Warm(weights, 0.3);
    ExpectNumericGradients(weights, 0.01, {4e-2f, 1e-2f, 4e-3f});
  }
}

/// All gradients of what is tuned, one after the other, which this takes away.
std::vector<float> TakeGradients(const TrainableModel& weights) {
  std::vector<float> all;
  for (const Parameter& p : weights.parameters()) {
    const Tensor& g = p.tensor.grad();
    all.insert(all.end(), g.data(), g.data() + g.size());
    p.tensor.ClearGrad();
  }
  return all;
}

void ExpectNear(const std::vector<float>& found, const std::vector<float>& expected, double tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  double difference = 0, norm = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    difference += std::pow(found[i] - expected[i], 2), norm += std::pow(expected[i], 2);
  }
  ASSERT_GT(norm, 1e-12);
  EXPECT_LE(std::sqrt(difference / norm), tolerance);
}

TEST_F(Tuning, GradientsOfInitialStatesInChunksAreThoseOfWholeSamples) {
  for (const char* arch : {"rwkv5", "rwkv6", "rwkv7"}) {
    TrainOptions options = Options(arch);
    options.tune = "state";
    const TrainableModel weights = StartTuning(options, {});
    Warm(weights, 0.3);
    Samples samples = SomeSamples();
    const State state = NewState(weights);
    const double loss = ForwardBackward(weights.model, samples, state, 0);
    const std::vector<float> whole = TakeGradients(weights);
    for (int64_t tokens : {1, 4, 12, 64}) {
      for (bool recompute : {false, true}) {
        SCOPED_TRACE(fmt::format("{} in chunks of {}, recompute {}", arch, tokens, recompute));
        samples.batch.recompute = recompute;
        EXPECT_NEAR(ForwardBackwardInChunks(weights.model, samples, state, 0, {tokens}), loss, 1e-5);
        ExpectNear(TakeGradients(weights), whole, 5e-5);
        EXPECT_NEAR(LossInChunks(weights.model, samples, state, tokens), loss, 1e-5);
      }
    }
  }
}

TEST_F(Tuning, TruncatedGradientsOfInitialStatesAreThoseOfTheFirstChunk) {
  TrainOptions options = Options("rwkv7");
  options.tune = "state";
  const TrainableModel weights = StartTuning(options, {});
  Warm(weights, 0.3);
  const Samples samples = SomeSamples();
  const State state = NewState(weights);
  const double loss = Loss(weights);
  EXPECT_NEAR(ForwardBackwardInChunks(weights.model, samples, state, 0, {4, true}), loss, 1e-5)
      << "the loss is that of all tokens";
  const std::vector<float> truncated = TakeGradients(weights);
  ForwardBackward(weights.model, CutSamples(samples, 4)[0], state, 0, CountTargets(samples));
  ExpectNear(truncated, TakeGradients(weights), 1e-6);
}

TEST_F(Tuning, GenerationBeginsWithTheTunedStates) {
  for (const char* arch : {"rwkv6", "rwkv7"}) {  // [key, value] and [value, key]
    SCOPED_TRACE(arch);
    TrainOptions options = Options(arch);
    options.tune = "state";
    const TrainableModel weights = StartTuning(options, {});
    Warm(weights, 0.3);
    const Snapshot beginning = TunedBeginning(weights.model, weights.parameters());
    const auto hidden = [&](State::Mode mode, bool restored) {
      State state = weights.model.NewState(2, mode);
      for (int slot = 0; restored && slot < 2; ++slot) state.Restore(slot, beginning.variables);
      const Tensor h = weights.model.model->Hidden(SomeSamples().batch, state);
      return std::vector<float>(h.data(), h.data() + h.size());
    };
    const std::vector<float> training = hidden(State::Mode::kKeepInitial, false);
    EXPECT_EQ(hidden(State::Mode::kInPlace, true), training);
    EXPECT_NE(hidden(State::Mode::kInPlace, false), training);
    EXPECT_THROW(
        TunedBeginning(weights.model, {{"blocks.7.att.time_state", Tensor::Zeros({1}), Role::kVector, 1}}),
        Error);
  }
}

TEST_F(Tuning, RunningBlocksAgainInTheBackwardPassChangesNothing) {
  for (const bool lora : {true, false}) {
    TrainOptions options = Options("rwkv6", DType::kQ8_0);
    options.lora = lora ? 4 : 0;
    options.tune = lora ? "full" : "state";
    const TrainableModel weights = StartTuning(options, {});
    Warm(weights, 0.1);
    Backward(weights);
    std::vector<Tensor> kept;
    for (const Parameter& p : weights.parameters()) kept.push_back(p.tensor.grad().Clone());
    Backward(weights, /*recompute=*/true);
    for (size_t i = 0; i < kept.size(); ++i) {
      const Parameter& p = weights.parameters()[i];
      for (Dim j = 0; j < kept[i].size(); ++j) {
        ASSERT_NEAR(kept[i].data()[j], p.tensor.grad().data()[j], 1e-7 + 1e-5 * std::abs(kept[i].data()[j]))
            << p.name;
      }
    }
  }
}

TEST_F(Tuning, ALoraBeginsAsTheModelItself) {
  for (const bool pissa : {false, true}) {
    TrainOptions options = Options("rwkv7");
    options.lora = 4;
    options.pissa = pissa;
    const TrainableModel weights = StartTuning(options, {});
    const LoadedModel model = LoadModel(options.init);
    const double base =
        MeanLoss(model, std::vector{SomeSamples()}, model.NewState(2, State::Mode::kKeepInitial));
    EXPECT_NEAR(Loss(weights), base, 1e-5) << pissa;
    Backward(weights);
    double norm = 0;
    for (Dim i = 0; i < weights.parameters()[1].tensor.size(); ++i) {
      norm += std::abs(weights.parameters()[1].tensor.grad().data()[i]);
    }
    EXPECT_GT(norm, 1e-4) << "B learns from the first step";
  }
}

TEST_F(Tuning, IsSavedAndGoesOnAsItWas) {
  for (const char* kind : {"lora", "pissa", "state"}) {
    SCOPED_TRACE(kind);
    TrainOptions options = Options("rwkv6");
    options.lora = kind == std::string("state") ? 0 : 4;
    options.lora_alpha = options.lora == 0 ? 0 : 8;
    options.pissa = kind == std::string("pissa");
    options.tune = options.lora == 0 ? "state" : "full";
    const TrainableModel weights = StartTuning(options, {});
    Warm(weights, 0.1);
    const fs::path file = folder_ / kind;
    WriteSafetensors(file, weights.Contents(), weights.metadata);
    const TrainableModel again = StartTuning(options, file);
    ASSERT_EQ(again.parameters().size(), weights.parameters().size());
    for (size_t i = 0; i < weights.parameters().size(); ++i) {
      const Parameter &a = weights.parameters()[i], &b = again.parameters()[i];
      EXPECT_EQ(a.name, b.name);
      ASSERT_EQ(a.tensor.shape(), b.tensor.shape()) << a.name;
      EXPECT_EQ(std::memcmp(a.tensor.raw(), b.tensor.raw(), a.tensor.bytes()), 0) << a.name;
    }
    EXPECT_EQ(Loss(weights), Loss(again));
    // Another model, and the same one in another type, are refused.
    TrainOptions other = Options("rwkv6", DType::kQ8_0);
    other.lora = options.lora, other.pissa = options.pissa, other.tune = options.tune;
    EXPECT_THROW(StartTuning(other, file), Error);
  }
}

TEST_F(Tuning, RefusesWhatCannotBe) {
  TrainOptions options = Options("rwkv4");
  options.tune = "state";
  EXPECT_THROW(StartTuning(options, {}), Error) << "no matrices as states";
  options.tune = "full";
  options.lora = 257;
  EXPECT_THROW(StartTuning(options, {}), Error) << "more than the weights' rank";
  options.lora = 4;
  options.lora_targets = "att.kye";
  EXPECT_THROW(StartTuning(options, {}), Error) << "a pattern that matches nothing";
  options.lora_targets = "emb";
  EXPECT_THROW(StartTuning(options, {}), Error) << "a table";
}

}  // namespace
}  // namespace linnet

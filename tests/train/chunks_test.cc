// Samples in chunks: the exact gradient is that of whole samples for every architecture, the truncated one is
// that of chunks which stand alone, and memory does not grow with the length of samples.
#include "train/chunks.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ops/ops.h"
#include "small_sizes.h"
#include "train/step.h"

namespace linnet {
namespace {

constexpr int kVocab = 37;

/// Values that hide no parameter from the loss, as the zeros of a fresh model would.
void Warm(const Parameter& p, uint64_t stream) {
  Random random(7, stream);
  const Dim inner = p.tensor.dim(p.tensor.shape().rank() - 1);
  const double scale = p.role == Role::kVector ? 0.1 : 1 / std::sqrt(static_cast<double>(inner));
  for (Dim i = 0; i < p.tensor.size(); ++i) {
    const auto noise = static_cast<float>(scale * random.Normal());
    if (p.tensor.dtype() == DType::kF32) {
      p.tensor.data()[i] += noise;
    } else {
      Bf16& x = p.tensor.data<Bf16>()[i];
      x = ToBf16(ToFloat(x) + noise);
    }
  }
}

TrainableModel WarmModel(const Architecture& architecture, MatrixType matrices) {
  const Sizes sizes{{"layers", 2}, {"width", 40}, {"ffn", 72}, {"vocab", kVocab}, {"head_size", 20}};
  TrainableModel model = NewTrainable(architecture, SmallSizes(architecture, sizes), 1, matrices);
  for (size_t i = 0; i < model.parameters().size(); ++i) Warm(model.parameters()[i], i);
  return model;
}

Samples RaggedSamples(const std::vector<int>& lengths) {
  Samples samples;
  for (size_t s = 0; s < lengths.size(); ++s) {
    std::vector<int> tokens;
    for (int i = 0; i < lengths[s]; ++i) {
      tokens.push_back((i * i * 7 + static_cast<int>(s) * 13 + i) % kVocab);
      samples.targets.push_back(i % 5 == 3 ? -1 : (i * 11 + static_cast<int>(s)) % kVocab);
    }
    samples.batch.Append(tokens, static_cast<int>((s + 1) % lengths.size()));
  }
  return samples;
}

using Gradients = std::vector<std::vector<float>>;

/// The gradients of all parameters, which this takes away.
Gradients Take(const TrainableModel& model) {
  Gradients gradients;
  for (const Parameter& p : model.parameters()) {
    const Tensor& g = p.tensor.grad();
    gradients.push_back(g ? std::vector<float>(g.data(), g.data() + g.size())
                          : std::vector<float>(p.tensor.size()));
    p.tensor.ClearGrad();
  }
  return gradients;
}

/// Of the difference of two gradients, relative to the first.
double Distance(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, norm = 1e-30;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - b[i], 2);
    norm += std::pow(static_cast<double>(a[i]), 2);
  }
  return std::sqrt(difference / norm);
}

/// All of a model's gradients as one.
std::vector<float> Together(const Gradients& gradients) {
  std::vector<float> all;
  for (const auto& g : gradients) all.insert(all.end(), g.begin(), g.end());
  return all;
}

double Norm(const std::vector<float>& x) {
  double sum = 0;
  for (float v : x) sum += static_cast<double>(v) * v;
  return std::sqrt(sum);
}

/// Within 5e-5 of each parameter's gradient. One that is next to nothing beside all the others' (RWKV-7b's
/// biases of keys, which nearly shift all scores of a row alike) is a sum of what cancels, and is held to the
/// digits of that.
void ExpectSame(const TrainableModel& model, const Gradients& a, const Gradients& b) {
  const double all = Norm(Together(a));
  for (size_t i = 0; i < a.size(); ++i) {
    const double norm = Norm(a[i]);
    EXPECT_LE(Distance(a[i], b[i]) * norm, 5e-5 * norm + 2e-7 * all)
        << model.parameters()[i].name << " of norm " << norm << " in " << all;
  }
}

State NewState(const TrainableModel& model, const Samples& samples) {
  return model.model.NewState(samples.batch.sequences(), State::Mode::kKeepInitial);
}

class EveryArchitecture : public testing::TestWithParam<const Architecture*> {};

TEST_P(EveryArchitecture, ExactGradientsAreThoseOfWholeSamples) {
  const TrainableModel model = WarmModel(*GetParam(), MatrixType::kF32);
  Samples samples = RaggedSamples({37, 5, 16, 50});
  const State state = NewState(model, samples);
  const double loss = ForwardBackward(model.model, samples, state, 1e-4);
  const Gradients whole = Take(model);
  for (int64_t tokens : {1, 7, 16, 32, 64}) {
    for (bool recompute : {false, true}) {
      SCOPED_TRACE(fmt::format("chunks of {}, recompute {}", tokens, recompute));
      samples.batch.recompute = recompute;
      EXPECT_NEAR(ForwardBackwardInChunks(model.model, samples, state, 1e-4, {tokens}), loss, 1e-5);
      ExpectSame(model, whole, Take(model));
    }
  }
}

// An element is dropped in a chunk if and only if it is dropped in the whole.
TEST_P(EveryArchitecture, DropoutInChunksIsThatOfWholeSamples) {
  const TrainableModel model = WarmModel(*GetParam(), MatrixType::kF32);
  Samples samples = RaggedSamples({37, 5, 16, 50});
  const State state = NewState(model, samples);
  const ops::DropoutScope dropout({.probability = 0.2f, .seed = 3, .step = 5, .first_row = 11});
  const double loss = ForwardBackward(model.model, samples, state, 1e-4);
  const Gradients whole = Take(model);
  for (bool recompute : {false, true}) {
    samples.batch.recompute = recompute;
    EXPECT_NEAR(ForwardBackwardInChunks(model.model, samples, state, 1e-4, {7}), loss, 1e-5);
    ExpectSame(model, whole, Take(model));
  }
}

/// Rounding to bf16 may tip the other way where sums come in another order, so the bound is what all this
/// rounding does to the gradient.
TEST_P(EveryArchitecture, ExactGradientsInBf16AreThoseOfWholeSamplesWithinRounding) {
  const TrainableModel exact = WarmModel(*GetParam(), MatrixType::kF32),
                       model = WarmModel(*GetParam(), MatrixType::kBf16);
  const Samples samples = RaggedSamples({37, 5, 16, 50});
  const State state = NewState(model, samples);
  ForwardBackward(exact.model, samples, state, 1e-4);
  ForwardBackward(model.model, samples, state, 1e-4);
  const std::vector<float> whole = Together(Take(model));
  const double rounding = Distance(whole, Together(Take(exact)));
  for (int64_t tokens : {7, 16, 32}) {
    ForwardBackwardInChunks(model.model, samples, state, 1e-4, {tokens});
    EXPECT_LE(Distance(whole, Together(Take(model))), 0.5 * rounding) << tokens;
  }
}

TEST_P(EveryArchitecture, ExactGradientsAreNumericOnes) {
  if (!HasTrueGradients(*GetParam())) GTEST_SKIP() << "spikes have a surrogate's gradient";
  const TrainableModel model = WarmModel(*GetParam(), MatrixType::kF32);
  const Samples samples = RaggedSamples({23, 9});
  const State state = NewState(model, samples);
  ForwardBackwardInChunks(model.model, samples, state, 0, {8});
  const Gradients gradients = Take(model);
  const double norm = Norm(Together(gradients));
  // Along the gradient the loss rises by its length.
  const auto move = [&](double step) {
    for (size_t i = 0; i < gradients.size(); ++i) {
      float* values = model.parameters()[i].tensor.data();
      for (size_t j = 0; j < gradients[i].size(); ++j)
        values[j] += static_cast<float>(step / norm) * gradients[i][j];
    }
  };
  constexpr double kStep = 2e-3;
  move(kStep);
  const double above = LossInChunks(model.model, samples, state, 8);
  move(-2 * kStep);
  const double below = LossInChunks(model.model, samples, state, 8);
  EXPECT_NEAR((above - below) / (2 * kStep), norm, 0.01 * norm);
}

TEST_P(EveryArchitecture, TruncatedGradientsAreThoseOfChunksThatStandAlone) {
  const TrainableModel model = WarmModel(*GetParam(), MatrixType::kF32);
  const Samples samples = RaggedSamples({37, 5, 16, 50});
  const State state = NewState(model, samples);
  const double loss = ForwardBackwardInChunks(model.model, samples, state, 1e-4, {16, true});
  const Gradients truncated = Take(model);

  // The same with a state that is carried on in place, each chunk as samples of their own.
  const State carried = model.model.NewState(4);
  const Dim counted = std::ranges::count_if(samples.targets, [](int t) { return t >= 0; });
  double sum = 0;
  for (const Chunk& chunk : CutSamples(samples, 16)) {
    const State start = model.model.NewState(4, State::Mode::kKeepInitial);
    for (size_t v = 0; v < start.specs().size(); ++v) {
      const Tensor from = carried.at(static_cast<int>(v)).in, to = start.at(static_cast<int>(v)).in;
      std::copy_n(from.data(), from.size(), to.data());
    }
    sum += ForwardBackward(model.model, chunk, start, 1e-4, counted);
    model.model.model->Hidden(chunk.batch, carried);
  }
  EXPECT_NEAR(loss, sum, 1e-5);
  ExpectSame(model, Take(model), truncated);
  ForwardBackwardInChunks(model.model, samples, state, 1e-4, {16});
  EXPECT_GT(Distance(Together(Take(model)), Together(truncated)), 1e-3) << "exact and truncated must differ";
}

TEST_P(EveryArchitecture, TheInitialStateGetsItsGradient) {
  const TrainableModel model = WarmModel(*GetParam(), MatrixType::kF32);
  const Samples samples = RaggedSamples({23, 9});
  const auto of_state = [&](int64_t tokens) {
    const State state = NewState(model, samples);
    for (size_t v = 0; v < state.specs().size(); ++v) state.at(static_cast<int>(v)).in.Track();
    if (tokens == 0) {
      ForwardBackward(model.model, samples, state, 0);
    } else {
      ForwardBackwardInChunks(model.model, samples, state, 0, {tokens});
    }
    std::vector<float> all;
    for (size_t v = 0; v < state.specs().size(); ++v) {
      const Tensor& g = state.at(static_cast<int>(v)).in.grad();
      if (g) all.insert(all.end(), g.data(), g.data() + g.size());
    }
    Take(model);
    return all;
  };
  const std::vector<float> whole = of_state(0);
  EXPECT_FALSE(whole.empty());
  EXPECT_LE(Distance(whole, of_state(8)), 5e-5);
}

TEST_P(EveryArchitecture, TheLossInChunksIsThatOfWholeSamples) {
  const TrainableModel model = WarmModel(*GetParam(), MatrixType::kF32);
  const Samples samples = RaggedSamples({37, 5, 16, 50});
  const State state = NewState(model, samples);
  const double whole = LossInChunks(model.model, samples, state, 0);
  for (int64_t tokens : {1, 16, 20, 50, 99}) {
    EXPECT_NEAR(LossInChunks(model.model, samples, state, tokens), whole, 1e-5) << tokens;
  }
}

std::vector<const Architecture*> All() {
  std::vector<const Architecture*> all;
  for (const Architecture& architecture : Architectures()) {
    if (architecture.untrainable.empty()) all.push_back(&architecture);
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Chunks, EveryArchitecture, testing::ValuesIn(All()),
                         [](const auto& info) { return NameOf(*info.param); });

TEST(Chunks, AStepInChunksIsAStepOfWholeSamples) {
  const std::vector<Samples> batches{RaggedSamples({37, 20}), RaggedSamples({12, 45})};
  std::vector<std::vector<float>> results;
  for (int64_t tokens : {0, 16}) {
    const TrainableModel model = WarmModel(FindArchitecture("rwkv7"), MatrixType::kF32);
    Optimizer optimizer(model, {});
    const State state = NewState(model, batches[0]);
    for (int step = 0; step < 3; ++step) {
      const StepOutcome outcome =
          TrainStep(model.model, optimizer, batches, state, 1e-3, {.chunking = {tokens}});
      EXPECT_FALSE(outcome.skipped);
      results.push_back({static_cast<float>(outcome.loss), static_cast<float>(outcome.gradient_norm)});
    }
  }
  for (int step = 0; step < 3; ++step) {
    EXPECT_NEAR(results[step][0], results[step + 3][0], 1e-5);
    EXPECT_NEAR(results[step][1] / results[step + 3][1], 1, 1e-4);
  }
}

TEST(Chunks, ALossThatIsNoNumberIsSaid) {
  const TrainableModel model = WarmModel(FindArchitecture("rwkv7"), MatrixType::kF32);
  const Samples samples = RaggedSamples({37, 20});
  model.parameters()[0].tensor.data()[samples.batch.tokens[3] * 40] = std::nanf("");
  for (bool truncated : {false, true}) {
    const double loss = ForwardBackwardInChunks(model.model, samples, NewState(model, samples), 0,
                                                {.tokens = 8, .truncated = truncated});
    EXPECT_FALSE(std::isfinite(loss));
  }
}

/// Most bytes of tensors that a pass holds beside what was there before.
size_t PeakBytes(const TrainableModel& model, int length, int64_t tokens) {
  const Samples samples = RaggedSamples({length});
  const State state = NewState(model, samples);
  const size_t before = HostMemoryUse().in_use_bytes;
  ResetHostMemoryPeak();
  if (tokens == 0) {
    ForwardBackward(model.model, samples, state, 0);
  } else {
    ForwardBackwardInChunks(model.model, samples, state, 0, {tokens});
  }
  const size_t peak = HostMemoryUse().peak_bytes - before;
  Take(model);
  return peak;
}

TEST(Chunks, MemoryDoesNotGrowWithTheLength) {
  for (const char* name : {"rwkv4", "rwkv5", "rwkv6", "rwkv7"}) {
    const TrainableModel model = WarmModel(FindArchitecture(name), MatrixType::kF32);
    const size_t whole = PeakBytes(model, 2048, 0), one = PeakBytes(model, 128, 0),
                 many = PeakBytes(model, 2048, 128),
                 border = model.model.NewState(1).slot_bytes();  // a state at each border
    EXPECT_GT(whole, 8 * one) << name;
    EXPECT_LE(many, one + one / 4 + 18 * (border + border / 3)) << name;
  }
}

TEST(Chunks, AreCutAlongTime) {
  const Samples samples = RaggedSamples({5, 2, 4});
  const std::vector<Chunk> parts = CutSamples(samples, 2);
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts[0].batch.slot, (std::vector{1, 2, 0}));
  EXPECT_EQ(parts[1].batch.slot, (std::vector{1, 0}));
  EXPECT_EQ(parts[2].batch.slot, (std::vector{1}));
  EXPECT_EQ(parts[1].batch.start, (std::vector{0, 2, 4}));
  EXPECT_EQ(*parts[1].rows, (std::vector<int64_t>{2, 3, 9, 10}));
  EXPECT_EQ(parts[2].batch.tokens, (std::vector{samples.batch.tokens[4]}));
  EXPECT_EQ(parts[1].targets,
            (std::vector{samples.targets[2], samples.targets[3], samples.targets[9], samples.targets[10]}));
}

}  // namespace
}  // namespace linnet

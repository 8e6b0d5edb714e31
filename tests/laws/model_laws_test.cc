// The laws that every architecture obeys, with matrices in float32 and in bf16:
//   a ragged batch == its sequences one by one; one chunk == token by token == any pieces; save and restore
//   == uninterrupted; cuts at certain places change no bit; a row's logits do not depend on what else is in
//   the batch; analytic == numeric gradient of every parameter; running blocks again in the backward pass
//   changes nothing; writing and reading a checkpoint changes nothing.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "formats/safetensors.h"
#include "nn/model.h"
#include "ops/ops.h"
#include "small_sizes.h"

namespace linnet {
namespace {

/// Sizes small enough for numeric gradients and odd enough to leave tails everywhere.
Sizes OddSizes(const Architecture& architecture, const Sizes& particular) {
  Sizes sizes = particular;
  sizes.merge(Sizes{{"layers", 3}, {"width", 40}, {"ffn", 72}, {"vocab", 37}, {"head_size", 20}});
  return SmallSizes(architecture, sizes);
}

/// A model in which no parameter is at a value, such as zero, that hides others from the loss.
LoadedModel WarmModel(const Architecture& architecture, const Sizes& particular, MatrixType matrices) {
  LoadedModel fresh = NewModel(architecture, OddSizes(architecture, particular), 1, MatrixType::kF32);
  std::vector<NamedTensor> tensors;
  for (const Parameter& p : fresh.params->parameters()) {
    const Tensor t = p.tensor.Clone();
    Random random(7, tensors.size());
    const double scale = p.role == Role::kVector ? 0.1 : 1 / std::sqrt(static_cast<double>(t.dim(1)));
    for (Dim i = 0; i < t.size(); ++i) t.data()[i] += static_cast<float>(scale * random.Normal());
    tensors.push_back({p.name, t});
  }
  const auto path = std::filesystem::temp_directory_path() / ("linnet-laws-" + std::to_string(getpid()));
  WriteSafetensors(path, tensors, {});
  LoadedModel model = LoadModel(path, matrices, Access::kWrite);
  std::filesystem::remove(path);
  return model;
}

std::vector<int> Tokens(int count, int seed) {
  std::vector<int> tokens;
  for (int i = 0; i < count; ++i) tokens.push_back((i * i * 7 + seed * 13 + i) % 37);
  return tokens;
}

/// Logits of `tokens`, fed in pieces into one slot.
std::vector<float> InPieces(const LoadedModel& m, const State& state, int slot,
                            const std::vector<int>& tokens, const std::vector<int>& pieces) {
  std::vector<float> logits;
  auto at = tokens.begin();
  for (int piece : pieces) {
    Batch batch;
    batch.Append({at, at + piece}, slot);
    const Tensor part = m.model->Forward(batch, state);
    logits.insert(logits.end(), part.data(), part.data() + part.size());
    at += piece;
  }
  return logits;
}

/// Largest difference over the standard deviation. Zeros, such as the rows that attention has room for but
/// has not seen, say nothing about the latter.
double Difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0, squares = 0, count = 1e-9;
  for (size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(a[i]) - b[i]));
    squares += static_cast<double>(a[i]) * a[i];
    count += a[i] != 0;
  }
  return a == b ? 0 : largest / std::sqrt(squares / count);
}

struct Law {
  const Architecture* architecture;
  MatrixType matrices;
  Sizes particular;  // of a variant of the architecture
  std::string name;
  friend void PrintTo(const Law& law, std::ostream* out) { *out << law.name; }
};

class ModelLaws : public testing::TestWithParam<Law> {
 protected:
  ModelLaws() : model_(WarmModel(*GetParam().architecture, GetParam().particular, GetParam().matrices)) {}

  /// Orders of summation differ between a chunk and single steps; with bf16 matrices a difference in the last
  /// digit can also tip the rounding of an activation, which may show half as much as all that rounding.
  double Tolerance() const {
    if (GetParam().matrices == MatrixType::kF32) return 1e-5;
    const LoadedModel exact = WarmModel(*GetParam().architecture, GetParam().particular, MatrixType::kF32);
    const std::vector<int> tokens = Tokens(50, 1);
    return std::max(2e-2, 0.5 * Difference(InPieces(exact, exact.NewState(1), 0, tokens, {50}),
                                           InPieces(model_, model_.NewState(1), 0, tokens, {50})));
  }

  LoadedModel model_;
};

TEST_P(ModelLaws, OneChunkIsTokenByTokenIsAnyPieces) {
  const std::vector<int> tokens = Tokens(50, 1);
  const double tolerance = Tolerance();
  const State state = model_.NewState(1);
  const auto whole = InPieces(model_, state, 0, tokens, {50});
  for (const std::vector<int>& pieces :
       {std::vector<int>(50, 1), {17, 33}, {1, 16, 15, 18}, {7, 7, 7, 29}, {5, 1, 1, 43}}) {
    const State other = model_.NewState(1);
    EXPECT_LE(Difference(whole, InPieces(model_, other, 0, tokens, pieces)), tolerance)
        << pieces.size() << " pieces";
  }
}

// What lets a server cut a prompt as its other work leaves room.
TEST_P(ModelLaws, CutsAtMultiplesOfKCutRowsAreTheSameToTheBit) {
  if (!IsTheSameHoweverCut(*GetParam().architecture)) GTEST_SKIP() << "only up to rounding";
  const std::vector<int> tokens = Tokens(307, 1);
  const State state = model_.NewState(1);
  const auto whole = InPieces(model_, state, 0, tokens, {307});
  const std::vector<Tensor> left = state.Save(0);
  const int c = kCutRows;
  for (const std::vector<int>& pieces : {std::vector<int>{c, 307 - c},
                                         {18 * c, 19},
                                         {4 * c, 4 * c, 10 * c, 19},
                                         {6 * c, c, c, c, 9 * c, 19}}) {
    const State other = model_.NewState(1);
    EXPECT_EQ(InPieces(model_, other, 0, tokens, pieces), whole) << pieces.size() << " pieces";
    const std::vector<Tensor> also = other.Save(0);
    for (size_t v = 0; v < left.size(); ++v) {
      EXPECT_EQ(std::memcmp(left[v].raw(), also[v].raw(), left[v].bytes()), 0) << state.specs()[v].name;
    }
  }
}

TEST_P(ModelLaws, ARaggedBatchIsItsSequencesOneByOne) {
  const std::vector<std::vector<int>> sequences = {Tokens(23, 1), Tokens(1, 2), Tokens(16, 3), Tokens(40, 4)};
  const double tolerance = Tolerance();
  const State together = model_.NewState(6);
  Batch batch;
  const int slots[] = {3, 0, 5, 1};
  for (size_t s = 0; s < sequences.size(); ++s) batch.Append(sequences[s], slots[s]);
  const Tensor logits = model_.model->Forward(batch, together);
  for (size_t s = 0; s < sequences.size(); ++s) {
    const State alone = model_.NewState(1);
    const int n = static_cast<int>(sequences[s].size());
    const auto expected = InPieces(model_, alone, 0, sequences[s], {n});
    const float* rows = logits.data() + batch.start[s] * model_.vocab();
    EXPECT_LE(Difference({rows, rows + n * model_.vocab()}, expected), tolerance) << "sequence " << s;
    const auto left = together.Save(slots[s]), should = alone.Save(0);
    for (size_t v = 0; v < left.size(); ++v) {
      EXPECT_LE(Difference({left[v].data(), left[v].data() + left[v].size()},
                           {should[v].data(), should[v].data() + should[v].size()}),
                tolerance)
          << model_.params->states()[v].name;
    }
  }
}

TEST_P(ModelLaws, ADecodedRowIsTheSameToTheBitWhateverElseIsInTheBatch) {
  const State state = model_.NewState(6);
  for (int s = 0; s < 6; ++s) InPieces(model_, state, s, Tokens(9 + s, s), {9 + s});
  const auto before = state.Save(2);
  const auto alone = InPieces(model_, state, 2, {5}, {1});
  State again = model_.NewState(6);
  for (int s = 0; s < 6; ++s) InPieces(model_, again, s, Tokens(9 + s, s), {9 + s});
  again.Restore(2, before);
  Batch batch;
  for (int s : {4, 2, 0, 5}) batch.Append({s == 2 ? 5 : s}, s);
  const Tensor logits = model_.model->Forward(batch, again);
  for (Dim i = 0; i < model_.vocab(); ++i) ASSERT_EQ(logits.data()[model_.vocab() + i], alone[i]) << i;
}

TEST_P(ModelLaws, SaveRestoreAndForkAreUninterrupted) {
  const std::vector<int> first = Tokens(21, 1), second = Tokens(13, 2);
  State state = model_.NewState(3);
  InPieces(model_, state, 0, first, {21});
  const auto saved = state.Save(0);
  state.Copy(0, 2);
  const auto uninterrupted = InPieces(model_, state, 0, second, {13});
  EXPECT_EQ(InPieces(model_, state, 2, second, {13}), uninterrupted) << "the fork";
  State other = model_.NewState(2);
  other.Restore(1, saved);
  EXPECT_EQ(InPieces(model_, other, 1, second, {13}), uninterrupted) << "the restored state";
  other.Reset(1);
  EXPECT_NE(InPieces(model_, other, 1, second, {13}), uninterrupted) << "an empty state";
}

TEST_P(ModelLaws, WantedRowsAreThoseOfTheWhole) {
  Batch all, some;
  all.Append(Tokens(20, 1), 0);
  some.Append(Tokens(20, 1), 0);
  some.wanted = {19, 3};
  const Tensor a = model_.model->Forward(all, model_.NewState(1)),
               b = model_.model->Forward(some, model_.NewState(1));
  for (int r = 0; r < 2; ++r) {
    for (Dim i = 0; i < model_.vocab(); ++i) {
      ASSERT_NEAR(a.data()[some.wanted[r] * model_.vocab() + i], b.data()[r * model_.vocab() + i], 1e-5);
    }
  }
}

struct Training {
  const LoadedModel& model;
  Batch batch;
  std::vector<int> targets;

  explicit Training(const LoadedModel& m) : model(m) {
    batch.Append(Tokens(19, 1), 1);
    batch.Append(Tokens(8, 2), 0);
    targets = Tokens(27, 3);
    targets[4] = -1;
  }
  Tensor LossOf(const State& state) const {
    return ops::CrossEntropy(model.model->Hidden(batch, state), model.model->head(), targets,
                             {.bias = model.model->head_bias()});
  }
  Tensor Loss() const {
    const State state = model.NewState(2, State::Mode::kKeepInitial);
    return LossOf(state);
  }
  void Backward() const {
    for (const Parameter& p : model.params->parameters()) {
      p.tensor.Track();
      p.tensor.ClearGrad();
    }
    const State state = model.NewState(2, State::Mode::kKeepInitial);
    Tape tape;
    tape.Backward(LossOf(state));
  }
};

TEST_P(ModelLaws, AnalyticGradientsAreNumericOnes) {
  if (GetParam().matrices == MatrixType::kBf16)
    GTEST_SKIP() << "bf16 parameters cannot be moved by small steps";
  if (!GetParam().architecture->untrainable.empty()) GTEST_SKIP() << GetParam().architecture->untrainable;
  if (!HasTrueGradients(*GetParam().architecture))
    GTEST_SKIP() << "spikes have a surrogate's gradient, which the loss does not follow";
  const Training training(model_);
  training.Backward();
  for (const Parameter& p : model_.params->parameters()) {
    ASSERT_TRUE(p.tensor.grad()) << p.name;
    // Along its own gradient the loss must rise by the gradient's norm; a wrong direction or length shows. A
    // random direction is added, so that errors that the first one could hide show too.
    double norm = 0;
    for (Dim i = 0; i < p.tensor.size(); ++i) norm += std::pow(p.tensor.grad().data()[i], 2);
    norm = std::sqrt(norm);
    std::vector<float> direction(p.tensor.size());
    Random random(11, p.tensor.size());
    const double spread = 0.5 / std::sqrt(static_cast<double>(p.tensor.size()));
    double slope = 0;
    for (Dim i = 0; i < p.tensor.size(); ++i) {
      direction[i] = static_cast<float>(p.tensor.grad().data()[i] / norm + spread * random.Normal());
      slope += static_cast<double>(direction[i]) * p.tensor.grad().data()[i];
    }
    const Tensor keep = p.tensor.Clone();
    const auto at = [&](float step) {
      for (Dim i = 0; i < p.tensor.size(); ++i) p.tensor.data()[i] = keep.data()[i] + step * direction[i];
      const double loss = training.Loss().data()[0];
      std::copy_n(keep.data(), keep.size(), p.tensor.data());
      return loss;
    };
    // Fourth-order differences: the step can be large enough for float32 without its curvature showing. Where
    // the loss bends sharply (a head's norm near 0) the slope is large, and a shorter step will do.
    double numeric = 0;
    for (float h : {4e-3f, 1e-3f, 2.5e-4f}) {
      numeric = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
      if (std::abs(numeric - slope) <= 0.01 * std::abs(slope) + 1e-4) break;
    }
    EXPECT_NEAR(numeric, slope, 0.01 * std::abs(slope) + 1e-4) << p.name;
  }
}

TEST_P(ModelLaws, RunningBlocksAgainInTheBackwardPassChangesNothing) {
  if (!GetParam().architecture->untrainable.empty()) GTEST_SKIP() << GetParam().architecture->untrainable;
  Training training(model_);
  training.Backward();
  std::vector<Tensor> kept;
  for (const Parameter& p : model_.params->parameters()) kept.push_back(p.tensor.grad().Clone());
  training.batch.recompute = true;
  training.Backward();
  for (size_t i = 0; i < kept.size(); ++i) {
    const Parameter& p = model_.params->parameters()[i];
    for (Dim j = 0; j < kept[i].size(); ++j) {
      ASSERT_NEAR(kept[i].data()[j], p.tensor.grad().data()[j], 1e-7 + 1e-5 * std::abs(kept[i].data()[j]))
          << p.name;
    }
  }
}

TEST_P(ModelLaws, WritingAndReadingACheckpointChangesNothing) {
  const auto path = std::filesystem::temp_directory_path() / ("linnet-roundtrip-" + std::to_string(getpid()));
  std::vector<NamedTensor> tensors;
  for (const Parameter& p : model_.params->parameters()) tensors.push_back({p.name, p.tensor});
  WriteSafetensors(path, tensors, {{"note", "as it was"}});
  const LoadedModel again = LoadModel(path);
  std::filesystem::remove(path);
  EXPECT_EQ(again.sizes, model_.sizes);
  EXPECT_EQ(again.metadata.at("note"), "as it was");
  const State a = model_.NewState(1), b = again.NewState(1);
  EXPECT_EQ(InPieces(model_, a, 0, Tokens(30, 1), {30}), InPieces(again, b, 0, Tokens(30, 1), {30}));
}

std::vector<Law> AllLaws() {
  std::vector<Law> laws;
  const auto add = [&](const Architecture& a, const Sizes& particular, const std::string& name) {
    laws.push_back({&a, MatrixType::kF32, particular, name + "_f32"});
    laws.push_back({&a, MatrixType::kBf16, particular, name + "_bf16"});
  };
  for (const Architecture& a : Architectures()) add(a, {}, NameOf(a));
  // Decays of whole heads, with and without a gate.
  for (Dim revision : {0, 1}) {
    add(FindArchitecture("rwkv5"), {{"revision", revision}}, "rwkv5_" + std::to_string(revision));
  }
  for (Dim pooling : {0, 2}) {
    add(FindArchitecture("qrnn"), {{"pooling", pooling}, {"window", 1 + pooling}},
        "qrnn_" + std::to_string(pooling));
  }
  add(FindArchitecture("qrnn"), {{"ffn", 0}}, "qrnn_plain");
  // Of which tokens leave the window of samples as short as those of the gradients.
  add(FindArchitecture("aft-conv"), {{"window", 5}}, "aft_conv_5");
  add(FindArchitecture("sru"), {{"version", 1}}, "sru_1");
  add(FindArchitecture("minimal-rnn"), {{"surrogate", 1}}, "minimal_rnn_surrogate");
  // Well within the unit disc: these are free to leave it.
  for (Dim rung : {0, 1, 2, 3, 5}) {
    add(FindArchitecture("lru"), {{"rung", rung}, {"r_min", 0}, {"r_max", 500}, {"state", 24}},
        "lru_" + std::to_string(rung));
  }
  add(FindArchitecture("spikegpt"), {{"neuron", 1}}, "spikegpt_step");
  add(FindArchitecture("rwkv8"), {{"time_mix", 0}}, "rwkv8_rosa_alone");
  add(FindArchitecture("s4d"), {{"init", 3}, {"state", 6}}, "s4d_real");
  return laws;
}

INSTANTIATE_TEST_SUITE_P(All, ModelLaws, testing::ValuesIn(AllLaws()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace linnet

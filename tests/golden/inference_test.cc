// Logits after every token and states of the reference implementation, for every model file in A_inference
// that this version runs: as one chunk, token by token, and in pieces of odd sizes.
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "formats/safetensors.h"
#include "golden/golden.h"
#include "nn/model.h"
#include "nn/state_file.h"

namespace linnet {
namespace {

using golden::LargestDifference;
using golden::Values;

/// Logits may be off by this much of their standard deviation.
constexpr double kTolerance = 2e-5;

/// The pieces that the tokens are fed in.
using Pieces = std::vector<int>;

Tensor LogitsInPieces(const LoadedModel& loaded, const State& state, const std::vector<int>& tokens,
                      const Pieces& pieces) {
  const Tensor logits = Tensor::Empty({static_cast<Dim>(tokens.size()), loaded.vocab()});
  size_t at = 0;
  for (int piece : pieces) {
    Batch batch;
    batch.Append({tokens.begin() + at, tokens.begin() + at + piece}, 0);
    const Tensor part = loaded.model->Forward(batch, state);
    std::copy_n(part.data(), part.size(), logits.data() + at * loaded.vocab());
    at += piece;
  }
  EXPECT_EQ(at, tokens.size());
  return logits;
}

/// The reference keeps the same numbers in the same order, cut into more tensors where a variable of linnet's
/// has several rows (RWKV-4's a, b, p); what attention keeps is another matter. `tolerance` is of the largest
/// number, or of 1 if all are smaller.
void CheckStates(const State& state, const Checkpoint& expected, const std::string& prefix,
                 const std::string& suffix, double tolerance) {
  int next = 0;
  const std::vector<Tensor> saved = state.Save(0);
  for (size_t i = 0; i < saved.size(); ++i) {
    if (state.specs()[i].name.find(".qkv.") != std::string::npos) continue;
    const Tensor& variable = saved[i];
    std::vector<double> values;
    while (static_cast<Dim>(values.size()) < variable.size()) {
      const std::string name = prefix + std::to_string(next++) + suffix;
      ASSERT_NE(expected.Find(name), nullptr) << name;
      const std::vector<double> part = Values(expected, name);
      values.insert(values.end(), part.begin(), part.end());
    }
    double largest = 1;
    for (double value : values) largest = std::max(largest, std::abs(value));
    EXPECT_LE(LargestDifference(variable, values), tolerance * largest) << prefix << next - 1;
  }
  EXPECT_EQ(expected.Find(prefix + std::to_string(next) + suffix), nullptr) << "states are left over";
}

/// What the attention of RWKV-7b keeps: the query before its mix with the next, and how many rows it has
/// seen.
void CheckAttention(const State& state, const Checkpoint& expected, const std::string& tag, int tokens) {
  const std::vector<Tensor> saved = state.Save(0);
  for (size_t i = 0; i < saved.size(); ++i) {
    const std::string& name = state.specs()[i].name;
    const std::string layer = name.substr(7, name.find('.', 7) - 7);
    if (name.ends_with(".qkv.length")) {
      EXPECT_EQ(saved[i].data()[0], tokens);
    } else if (name.ends_with(".qkv.q_shift")) {
      EXPECT_LE(LargestDifference(saved[i], Values(expected, tag + ".dea_qprev." + layer + "_f64")), 2e-5);
    }
  }
}

void CheckFile(const std::filesystem::path& file, const std::string& tag, const Checkpoint& expected) {
  SCOPED_TRACE(file.string());
  const LoadedModel loaded = LoadModel(file, MatrixType::kF32);
  std::vector<int> tokens;
  for (double id : Values(expected, "tokens")) tokens.push_back(static_cast<int>(id));
  const int n = static_cast<int>(tokens.size());
  const std::vector<double> truth = Values(expected, tag + ".logits_f64");
  const double scale = golden::StandardDeviation(truth);

  for (const Pieces& pieces : {Pieces{n}, Pieces(n, 1), Pieces{17, n - 17}, Pieces{1, 7, 16, n - 24}}) {
    const State state = loaded.NewState(1);
    const Tensor logits = LogitsInPieces(loaded, state, tokens, pieces);
    const double error = LargestDifference(logits, truth) / scale;
    testing::Test::RecordProperty(tag + " in " + std::to_string(pieces.size()) + " pieces",
                                  std::to_string(error));
    EXPECT_LE(error, kTolerance) << pieces.size() << " pieces";
    CheckStates(state, expected, tag + ".state.", "_f64", 2e-5);
    CheckAttention(state, expected, tag, n);
  }
  const State state = loaded.NewState(1);
  LogitsInPieces(loaded, state, {tokens.begin(), tokens.begin() + 17}, {17});
  CheckStates(state, expected, tag + ".state_after_17.", "", 2e-5);
}

TEST(GoldenInference, EveryModelGivesTheReferencesLogitsAndStates) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  int checked = 0;
  for (const auto& folder : golden::Cases("A_inference")) {
    if (!exists(folder / "info.json")) continue;
    const auto info = nlohmann::json::parse(ReadFile(folder / "info.json"));
    if (!golden::Runs(info.at("version"))) continue;
    const auto expected = Checkpoint::Open(folder / "expected.safetensors");
    for (const auto& [file, tag] : golden::WeightFiles(folder)) {
      CheckFile(file, tag, *expected);
      ++checked;
    }
  }
  EXPECT_GT(checked, 0) << "no model in " << golden::Folder();
}

/// Runs the tokens from `start`; the logits must be those of the reference with its tuned state.
void ExpectTunedLogits(const LoadedModel& loaded, const std::vector<Tensor>& start) {
  const auto expected =
      Checkpoint::Open(golden::Folder() / "A_inference" / "v6" / "expected_time_state.safetensors");
  const std::vector<double> truth = Values(*expected, "fp32.logits_f64");
  std::vector<int> tokens;
  for (double id : Values(*expected, "tokens")) tokens.push_back(static_cast<int>(id));
  const int n = static_cast<int>(tokens.size());
  State state = loaded.NewState(1);
  for (const Pieces& pieces : {Pieces{n}, Pieces(n, 1)}) {
    state.Restore(0, start);
    EXPECT_LE(LargestDifference(LogitsInPieces(loaded, state, tokens, pieces), truth) /
                  golden::StandardDeviation(truth),
              kTolerance)
        << pieces.size() << " pieces";
  }
}

TEST(GoldenInference, ATunedStateInTheCheckpointIsWhereSequencesBegin) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  const auto folder = golden::Folder() / "A_inference" / "v6";
  const auto path = std::filesystem::temp_directory_path() / ("linnet-tuned-" + std::to_string(getpid()));
  const auto weights = Checkpoint::Open(folder / "v6.fp32.pth"),
             tuned = Checkpoint::Open(folder / "time_state.fp32.pth");
  std::vector<NamedTensor> tensors;
  for (const Checkpoint* part : {weights.get(), tuned.get()}) {
    for (const auto& entry : part->entries()) tensors.push_back({entry.name, part->Load(entry.name)});
  }
  WriteSafetensors(path, tensors, {});
  const LoadedModel loaded = LoadModel(path, MatrixType::kF32);
  std::filesystem::remove(path);
  ExpectTunedLogits(loaded, loaded.NewState(1).Save(0));
}

TEST(GoldenInference, ATunedStateInAFileOfItsOwnIsReadForTheModel) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  const auto folder = golden::Folder() / "A_inference" / "v6";
  const LoadedModel loaded = LoadModel(folder / "v6.fp32.pth", MatrixType::kF32);
  ExpectTunedLogits(loaded, ReadSnapshot(folder / "time_state.fp32.pth", loaded, "bytes").snapshot.variables);
}

}  // namespace
}  // namespace linnet

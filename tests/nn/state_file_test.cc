// State files: what is written comes back, and what does not belong to a model is refused by name.
#include "nn/state_file.h"

#include <unistd.h>

#include <cstring>

#include "formats/refusal.h"
#include "formats/safetensors.h"

namespace linnet {
namespace {

LoadedModel Model(uint64_t seed = 1, Dim layers = 2) {
  const Architecture& architecture = FindArchitecture("rwkv7");
  return NewModel(architecture,
                  architecture.complete_sizes(
                      {{"layers", layers}, {"width", 32}, {"head_size", 16}, {"ffn", 40}, {"vocab", 20}}),
                  seed);
}

/// A vector that differs between models which were trained apart.
void Train(const LoadedModel& model) { model.params->parameters()[1].tensor.data()[3] += 0.5f; }

Tensor Random(const Shape& shape, uint64_t seed) {
  const Tensor t = Tensor::Empty(shape);
  linnet::Random random(seed);
  for (Dim i = 0; i < t.size(); ++i) t.data()[i] = static_cast<float>(random.Normal());
  return t;
}

class StateFiles : public testing::Test {
 protected:
  ~StateFiles() override {
    for (const auto& path : paths_) std::filesystem::remove(path);
  }
  std::filesystem::path Path() {
    paths_.push_back(std::filesystem::temp_directory_path() /
                     fmt::format("linnet-state-{}-{}", getpid(), paths_.size()));
    return paths_.back();
  }
  std::filesystem::path Written(const LoadedModel& model, uint64_t seed = 3) {
    const auto path = Path();
    WriteSnapshot(path, model, "bytes", Taken(model, seed));
    return path;
  }
  static Snapshot Taken(const LoadedModel& model, uint64_t seed) {
    Snapshot snapshot{{}, Random({20}, seed), 77};
    for (const StateSpec& spec : model.params->states())
      snapshot.variables.push_back(Random(spec.shape, ++seed));
    return snapshot;
  }

  LoadedModel model_ = Model();
  std::vector<std::filesystem::path> paths_;
};

bool Same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

TEST_F(StateFiles, WhatIsWrittenComesBack) {
  const Snapshot snapshot = Taken(model_, 3);
  const auto [read, warning] = ReadSnapshot(Written(model_), model_, "bytes");
  EXPECT_EQ(warning, "");
  EXPECT_EQ(read.tokens, 77);
  EXPECT_TRUE(Same(read.logits, snapshot.logits));
  ASSERT_EQ(read.variables.size(), snapshot.variables.size());
  for (size_t i = 0; i < read.variables.size(); ++i)
    EXPECT_TRUE(Same(read.variables[i], snapshot.variables[i]));
}

TEST_F(StateFiles, NotesComeBackAndChangeNothingElse) {
  const auto path = Written(model_);
  const Snapshot snapshot = ReadSnapshot(path, model_, "bytes").snapshot;
  WriteSnapshot(path, model_, "bytes", snapshot, {{"said", "hello"}, {"tokens", "-1"}});
  const StateFile file = ReadStateFile(path);
  EXPECT_EQ(file.notes, (std::map<std::string, std::string>{{"said", "hello"}}));
  EXPECT_EQ(file.tokens, snapshot.tokens);
}

TEST_F(StateFiles, OtherWeightsAndTokenizersAreSaid) {
  const auto path = Written(model_);
  EXPECT_NE(ReadSnapshot(path, model_, "world").warning.find("tokenizer 'bytes'"), std::string::npos);
  Train(model_);
  EXPECT_NE(ReadSnapshot(path, model_, "bytes").warning.find("other weights"), std::string::npos);
}

TEST_F(StateFiles, AFingerprintIsOfTheModelNotOfItsPrecision) {
  const std::string fingerprint = Fingerprint(model_);
  EXPECT_EQ(Fingerprint(Model()), fingerprint);
  EXPECT_NE(Fingerprint(Model(1, 3)), fingerprint);
  const LoadedModel rounded = NewModel(*model_.architecture, model_.sizes, /*seed=*/1, MatrixType::kBf16);
  EXPECT_EQ(Fingerprint(rounded), fingerprint);
  Train(model_);
  EXPECT_NE(Fingerprint(model_), fingerprint);
}

TEST_F(StateFiles, WhatDoesNotFitIsRefusedByName) {
  const auto path = Written(model_);
  const LoadedModel larger = Model(1, 3);
  EXPECT_TRUE(Refuses([&] { ReadSnapshot(path, larger, "bytes"); }, path.string(), "other sizes",
                      "\"layers\":2", "\"layers\":3"));
  StateFile file = ReadStateFile(path);
  file.architecture = "rwkv5";
  WriteStateFile(path, file);
  EXPECT_TRUE(Refuses([&] { ReadSnapshot(path, model_, "bytes"); }, path.string(), "rwkv5", "rwkv7"));
  file.architecture = "rwkv7";
  file.variables["blocks.1.att.wkv"] = Random({2, 16, 15}, 1);
  WriteStateFile(path, file);
  EXPECT_TRUE(Refuses([&] { ReadSnapshot(path, model_, "bytes"); }, path.string(), "blocks.1.att.wkv",
                      "[2, 16, 15]", "[2, 16, 16]"));
  file.variables.erase("blocks.1.att.wkv");
  WriteStateFile(path, file);
  EXPECT_TRUE(Refuses([&] { ReadSnapshot(path, model_, "bytes"); }, "blocks.1.att.wkv", "missing"));
  file = ReadStateFile(Written(model_));
  file.variables["blocks.9.att.wkv"] = Random({1}, 1);
  WriteStateFile(path, file);
  EXPECT_TRUE(Refuses([&] { ReadSnapshot(path, model_, "bytes"); }, "7 variables", "6"));
  file = ReadStateFile(Written(model_));
  file.logits = Random({19}, 1);
  WriteStateFile(path, file);
  EXPECT_TRUE(Refuses([&] { ReadSnapshot(path, model_, "bytes"); }, "19 logits", "20"));
}

TEST_F(StateFiles, FilesThatAreNoStatesAreRefused) {
  const auto path = Path();
  WriteSafetensors(path, {{"emb.weight", Random({2, 2}, 1)}}, {});
  EXPECT_TRUE(Refuses([&] { ReadStateFile(path); }, path.string(), "is not a state", "time_state"));
  WriteSafetensors(path, {{"a", Random({2}, 1)}}, {{"linnet_state", "2"}});
  EXPECT_TRUE(Refuses([&] { ReadStateFile(path); }, path.string(), "format 2"));
  for (const char* tokens : {"", "-1", "1e3", "99999999999999999999"}) {
    WriteSafetensors(path, {{"a", Random({2}, 1)}},
                     {{"linnet_state", "1"}, {"architecture", "rwkv7"}, {"tokens", tokens}});
    EXPECT_TRUE(Refuses([&] { ReadStateFile(path); }, path.string(), "tokens")) << tokens;
  }
  const Tensor ids = Tensor::Zeros({2}, DType::kI32);
  WriteSafetensors(path, {{"blocks.0.att.time_state", ids}}, {});
  EXPECT_TRUE(Refuses([&] { ReadStateFile(path); }, path.string(), "time_state", "i32"));
}

TEST_F(StateFiles, ATunedStateIsTheWkvStatesAndLeavesTheRestAtTheStart) {
  const auto path = Path();
  std::vector<NamedTensor> tuned;
  for (int layer = 0; layer < 2; ++layer)
    tuned.push_back({fmt::format("blocks.{}.att.time_state", layer), Random({2, 16, 16}, 5 + layer)});
  WriteSafetensors(path, tuned, {});
  EXPECT_TRUE(ReadStateFile(path).tuned());
  const auto [snapshot, warning] = ReadSnapshot(path, model_, "bytes");
  EXPECT_EQ(snapshot.tokens, 0);
  EXPECT_FALSE(snapshot.logits);
  const auto& specs = model_.params->states();
  for (size_t i = 0; i < specs.size(); ++i) {
    const bool wkv = specs[i].name.ends_with("att.wkv");
    const int layer = specs[i].name[7] - '0';
    EXPECT_TRUE(Same(snapshot.variables[i], wkv ? tuned[layer].tensor : Tensor::Zeros(specs[i].shape)))
        << specs[i].name;
  }
  // An architecture whose states are [key, value] transposes them.
  Architecture other = *model_.architecture;
  other.state_is_key_value = true;
  model_.architecture = &other;
  const auto transposed = ReadSnapshot(path, model_, "bytes").snapshot;
  for (size_t i = 0; i < specs.size(); ++i) {
    if (!specs[i].name.ends_with("att.wkv")) continue;
    const float *a = transposed.variables[i].data(), *b = snapshot.variables[i].data();
    for (Dim n = 0; n < 512; ++n) EXPECT_EQ(a[n], b[n / 256 * 256 + n % 16 * 16 + n / 16 % 16]);
  }
}

TEST_F(StateFiles, ATunedStateInTheModelsFileIsWhereTextsStart) {
  std::vector<NamedTensor> tensors, tuned;
  for (const Parameter& p : model_.params->parameters()) tensors.push_back({p.name, p.tensor});
  for (int layer = 0; layer < 2; ++layer)
    tuned.push_back({fmt::format("blocks.{}.att.time_state", layer), Random({2, 16, 16}, 5 + layer)});
  tensors.insert(tensors.end(), tuned.begin(), tuned.end());
  const auto path = Path(), alone = Path();
  WriteSafetensors(path, tensors, {});
  WriteSafetensors(alone, tuned, {});
  const auto start = LoadModel(path).NewState(1).Save(0);
  const auto expected = ReadSnapshot(alone, model_, "bytes").snapshot.variables;
  ASSERT_EQ(start.size(), expected.size());
  for (size_t i = 0; i < start.size(); ++i) EXPECT_TRUE(Same(start[i], expected[i]));
}

TEST_F(StateFiles, TunedStatesOfOtherModelsAreRefused) {
  const auto path = Path();
  WriteSafetensors(path, {{"blocks.0.att.time_state", Random({2, 16, 16}, 5)}}, {});
  EXPECT_TRUE(Refuses([&] { ReadSnapshot(path, model_, "bytes"); }, path.string(), "blocks.1.att.time_state",
                      "more layers"));
  WriteSafetensors(path, {{"blocks.0.att.time_state", Random({2, 8, 8}, 5)}}, {});
  EXPECT_TRUE(Refuses([&] { ReadSnapshot(path, model_, "bytes"); }, "[2, 8, 8]", "[2, 16, 16]"));
  std::vector<NamedTensor> three;
  for (int layer = 0; layer < 3; ++layer)
    three.push_back({fmt::format("blocks.{}.att.time_state", layer), Random({2, 16, 16}, 5)});
  WriteSafetensors(path, three, {});
  EXPECT_TRUE(Refuses([&] { ReadSnapshot(path, model_, "bytes"); }, path.string(), "3 layers", "2"));
}

TEST_F(StateFiles, AnAverageIsWeighted) {
  const auto first = ReadStateFile(Written(model_, 3)), second = ReadStateFile(Written(model_, 30));
  const StateFile files[] = {first, second};
  const double weights[] = {3, 1};
  const StateFile average = Average(files, weights);
  EXPECT_FALSE(average.logits);
  EXPECT_EQ(average.tokens, 77);
  EXPECT_EQ(average.weights, first.weights);
  for (const auto& [name, tensor] : average.variables) {
    const float *a = first.variables.at(name).data(), *b = second.variables.at(name).data();
    for (Dim i = 0; i < tensor.size(); ++i) ASSERT_NEAR(tensor.data()[i], 0.75f * a[i] + 0.25f * b[i], 1e-6);
  }
  const auto path = Path();
  WriteStateFile(path, average);
  EXPECT_EQ(ReadSnapshot(path, model_, "bytes").warning, "");
  StateFile counting[] = {first, second};
  for (StateFile& file : counting) file.variables["n"] = Random({1}, file.variables.size());
  EXPECT_FLOAT_EQ(Average(counting, weights).variables.at("n").data()[0],
                  counting[0].variables.at("n").data()[0]);
  counting[1].variables["n"] = Random({1}, 99);
  EXPECT_TRUE(Refuses([&] { Average(counting, weights); }, "n counts"));
  const LoadedModel larger = Model(1, 3);
  EXPECT_TRUE(Refuses([&] { CheckAlike(first, ReadStateFile(Written(larger)), "a", "b"); }, "a", "b"));
}

}  // namespace
}  // namespace linnet

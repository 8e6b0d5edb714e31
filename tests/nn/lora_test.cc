// LoRA files, and the laws of models that compute with adapters.
#include "nn/lora.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>

#include "nn/state_file.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

Tensor Noise(const Shape& shape, uint64_t seed, double scale) {
  const Tensor t = Tensor::Empty(shape);
  Random random(seed);
  for (Dim i = 0; i < t.size(); ++i) t.data()[i] = static_cast<float>(scale * random.Normal());
  return t;
}

LoadedModel SmallModel(const std::string& arch) {
  const Architecture& architecture = FindArchitecture(arch);
  Sizes sizes{{"layers", 2}, {"width", 40}, {"ffn", 72}, {"vocab", 37}};
  if (arch != "rwkv4") sizes["head_size"] = 20;
  LoadedModel model = NewModel(architecture, architecture.complete_sizes(sizes), 1);
  uint64_t seed = 10;
  for (const Parameter& p : model.params->parameters()) {
    const Tensor noise = Noise(p.tensor.shape(), seed++, p.role == Role::kVector ? 0.1 : 0.15);
    for (Dim i = 0; i < noise.size(); ++i) p.tensor.data()[i] += noise.data()[i];
  }
  return model;
}

class LoraFile : public testing::TestWithParam<const char*> {
 protected:
  LoraFile() : path_(fs::temp_directory_path() / ("linnet-lora-" + std::to_string(getpid()))) {}
  ~LoraFile() override { fs::remove(path_); }

  /// A LoRA of rank 3 on every weight that can have one.
  void Write(const LoadedModel& model, std::map<std::string, std::string> metadata) const {
    std::vector<NamedTensor> tensors;
    for (const Parameter& p : model.params->parameters()) {
      if (!IsAdaptable(p)) continue;
      tensors.push_back({LoraNameA(p.name), Noise({3, p.tensor.dim(1)}, tensors.size(), 0.2)});
      tensors.push_back({LoraNameB(p.name), Noise({p.tensor.dim(0), 3}, tensors.size(), 0.2)});
    }
    WriteSafetensors(path_, tensors, metadata);
  }

  std::string ErrorOf(const std::function<void()>& body) const {
    try {
      body();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  fs::path path_;
};

std::vector<float> Logits(const LoadedModel& m, const State& state, const std::vector<int>& tokens,
                          int slot = 0) {
  Batch batch;
  batch.Append(tokens, slot);
  const Tensor logits = m.model->Forward(batch, state);
  return {logits.data(), logits.data() + logits.size()};
}

void ExpectNear(const std::vector<float>& a, const std::vector<float>& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], tolerance) << i;
}

TEST_P(LoraFile, AdaptedModelsObeyTheLaws) {
  LoadedModel model = SmallModel(GetParam());
  const std::vector<int> tokens = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4};
  const auto plain = Logits(model, model.NewState(1), tokens);
  Write(model, LoraMetadata(model, 3, 6));
  const ReadLorasResult read = ReadLoras({{path_, {}}}, model);
  EXPECT_EQ(read.warning, "");
  Adapt(model, read.adapters);
  const auto adapted = Logits(model, model.NewState(1), tokens);
  double change = 0;
  for (size_t i = 0; i < plain.size(); ++i)
    change = std::max<double>(change, std::abs(plain[i] - adapted[i]));
  EXPECT_GT(change, 0.05);

  // Token by token is the chunk.
  const State state = model.NewState(6);
  std::vector<float> pieces;
  for (int token : tokens) {
    const auto row = Logits(model, state, {token}, 2);
    pieces.insert(pieces.end(), row.begin(), row.end());
  }
  ExpectNear(pieces, adapted, 2e-4);

  // A decoded row is the same to the bit whatever else is in the batch.
  const auto before = state.Save(2);
  const auto alone = Logits(model, state, {5}, 2);
  State again = model.NewState(6);
  again.Restore(2, before);
  Batch batch;
  for (int s : {4, 2, 0, 5}) batch.Append({s == 2 ? 5 : s}, s);
  const Tensor logits = model.model->Forward(batch, again);
  for (Dim i = 0; i < model.vocab(); ++i) ASSERT_EQ(logits.data()[model.vocab() + i], alone[i]) << i;
}

TEST_P(LoraFile, FoldedIsAdapted) {
  LoadedModel model = SmallModel(GetParam()), folded = SmallModel(GetParam());
  Write(model, LoraMetadata(model, 3, 6));
  // Two files' adapters add up: one and a half times this one.
  const auto adapters = ReadLoras({{path_, {}}, {path_, 0.5}}, model).adapters;
  for (size_t i = 0; i < model.params->parameters().size(); ++i) {
    const Tensor &weight = model.params->parameters()[i].tensor, &to = folded.params->parameters()[i].tensor;
    const auto of_weight = adapters->Of(weight);
    EXPECT_EQ(of_weight.size(), IsAdaptable(model.params->parameters()[i]) ? 2u : 0u);
    if (of_weight.empty()) continue;
    const Tensor sum = Folded(weight, of_weight);
    std::copy_n(sum.data(), sum.size(), to.data());
    EXPECT_FLOAT_EQ(of_weight[0].scale, 2);
    EXPECT_FLOAT_EQ(of_weight[1].scale, 1);
  }
  Adapt(model, adapters);
  const std::vector<int> tokens = {3, 1, 4, 1, 5, 9, 2, 6};
  ExpectNear(Logits(model, model.NewState(1), tokens), Logits(folded, folded.NewState(1), tokens), 2e-4);
}

TEST_P(LoraFile, WhatDoesNotFitIsNamed) {
  const LoadedModel model = SmallModel(GetParam());
  const auto read = [&](std::optional<double> factor) {
    return ErrorOf([&] { ReadLoras({{path_, factor}}, model); });
  };
  Write(model, {});
  EXPECT_NE(read({}).find("does not say its alpha"), std::string::npos) << read({});
  EXPECT_EQ(read(2.0), "");
  Write(model, {{"linnet_lora", "7"}});
  EXPECT_NE(read({}).find("format 7"), std::string::npos);
  Write(model, {{"linnet_lora", "1"}, {"rank", "3"}, {"alpha", "nan"}});
  EXPECT_NE(read({}).find("alpha 'nan'"), std::string::npos);
  auto other = LoraMetadata(model, 3, 3);
  other["weights"] = "0123456789abcdef";
  Write(model, other);
  EXPECT_NE(ReadLoras({{path_, {}}}, model).warning.find("other weights"), std::string::npos);

  const auto holding = [&](const std::vector<NamedTensor>& tensors) {
    WriteSafetensors(path_, tensors, LoraMetadata(model, 3, 3));
    return read({});
  };
  const std::string key = "blocks.0.att.key.lora_";
  const Tensor a = Tensor::Zeros({3, 40}), b = Tensor::Zeros({40, 3});
  EXPECT_EQ(holding({{key + "A", a}, {key + "B", b}}), "");
  EXPECT_NE(holding({{key + "A", a}}).find(key + "B is missing"), std::string::npos);
  EXPECT_NE(holding({{key + "B", b}}).find("has no " + key + "A"), std::string::npos);
  EXPECT_NE(holding({{key + "A", a}, {key + "B", Tensor::Zeros({40, 2})}}).find("ranks differ"),
            std::string::npos);
  EXPECT_NE(holding({{key + "A", Tensor::Zeros({3, 41})}, {key + "B", b}}).find("do not fit"),
            std::string::npos);
  EXPECT_NE(holding({{"emb.weight", a}}).find("is not a LoRA"), std::string::npos);
  EXPECT_NE(holding({{"head.lora_A", a}, {"head.lora_B", b}}).find("not a matrix that blocks"),
            std::string::npos);
  EXPECT_NE(holding({{"blocks.7.att.key.lora_A", a}, {"blocks.7.att.key.lora_B", b}}).find("has not"),
            std::string::npos);
  EXPECT_NE(holding({{key + "A", Tensor::Zeros({3, 40, 1})}, {key + "B", b}}).find("a matrix was expected"),
            std::string::npos);
}

TEST(LoraChoice, MayHaveAFactor) {
  EXPECT_EQ(LoraChoice::Parse("a.safetensors").file, "a.safetensors");
  EXPECT_FALSE(LoraChoice::Parse("a.safetensors").factor);
  EXPECT_EQ(LoraChoice::Parse("a:b:0.25").file, "a:b");
  EXPECT_EQ(LoraChoice::Parse("a:b:0.25").factor, 0.25);
  EXPECT_THROW(LoraChoice::Parse("a:half"), Error);
}

INSTANTIATE_TEST_SUITE_P(All, LoraFile, testing::Values("rwkv4", "rwkv5", "rwkv6", "rwkv7", "rwkv7a"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace linnet

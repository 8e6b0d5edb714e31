// Batch, State, initial values, and models that do not fit.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>

#include "formats/safetensors.h"
#include "nn/model.h"

namespace linnet {
namespace {

TEST(Batch, RefusesWhatIsNotABatch) {
  Batch batch;
  EXPECT_THROW(batch.Validate(1), Error) << "no sequence";
  EXPECT_THROW(batch.Append({}, 0), Error);
  batch.Append({1, 2}, 0);
  EXPECT_NO_THROW(batch.Validate(1));
  batch.Append({3}, 0);
  EXPECT_THROW(batch.Validate(2), Error) << "a slot twice";
  batch.slot[1] = 2;
  EXPECT_THROW(batch.Validate(2), Error) << "a slot too many";
  EXPECT_NO_THROW(batch.Validate(3));
}

TEST(State, SlotsAreApart) {
  State state({{"a", {2}}, {"b", {3, 1}}}, 3);
  EXPECT_EQ(state.slot_bytes(), 20u);
  state.at(0).in.data()[2 * 1 + 1] = 4;
  state.Copy(1, 2);
  const auto saved = state.Save(2);
  EXPECT_EQ(saved[0].data()[1], 4);
  state.Reset(1);
  EXPECT_EQ(state.Save(1)[0].data()[1], 0);
  state.Restore(0, saved);
  EXPECT_EQ(state.Save(0)[0].data()[1], 4);
  EXPECT_THROW(state.Restore(0, {saved[0]}), Error);
  EXPECT_THROW(state.Copy(0, 3), Error);
  EXPECT_THROW(state.Save(-1), Error);
}

TEST(Init, OrthogonalMatricesAre) {
  for (const auto& [rows, columns] : {std::pair{24, 24}, {60, 16}, {16, 60}}) {
    const Tensor t = Tensor::Empty({rows, columns});
    Random random(1);
    init::Orthogonal(0.5f)(t, random);
    const Dim few = std::min(rows, columns), many = std::max(rows, columns);
    for (Dim i = 0; i < few; ++i) {
      for (Dim j = 0; j <= i; ++j) {
        double dot = 0;
        for (Dim c = 0; c < many; ++c) {
          dot += rows <= columns ? double{t.data()[i * columns + c]} * t.data()[j * columns + c]
                                 : double{t.data()[c * columns + i]} * t.data()[c * columns + j];
        }
        EXPECT_NEAR(dot, i == j ? 0.25 : 0, 1e-6);
      }
    }
  }
}

TEST(Init, AParametersValuesDependOnItsNameAndSeedAlone) {
  ParamStore one(3, MatrixType::kF32), two(3, MatrixType::kF32), three(4, MatrixType::kF32);
  Params(one).Matrix("other", {4, 4}, init::Uniform(1));
  const auto value = [](ParamStore& store) {
    return Params(store).Matrix("x", {4, 4}, init::Uniform(1)).data()[5];
  };
  const float first = value(one);
  EXPECT_EQ(first, value(two));
  EXPECT_NE(first, value(three));
}

class ModelFile : public testing::Test {
 protected:
  ModelFile() : path_(std::filesystem::temp_directory_path() / ("linnet-nn-" + std::to_string(getpid()))) {
    const Architecture& rwkv7 = FindArchitecture("rwkv7");
    const LoadedModel model = NewModel(
        rwkv7, rwkv7.complete_sizes({{"layers", 2}, {"width", 16}, {"head_size", 8}, {"vocab", 11}}), 1);
    for (const Parameter& p : model.params->parameters()) tensors_.push_back({p.name, p.tensor});
  }
  ~ModelFile() override { std::filesystem::remove(path_); }
  std::string MessageOfLoading() {
    WriteSafetensors(path_, tensors_, {});
    try {
      LoadModel(path_);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  Tensor& Named(const std::string& name) {
    for (NamedTensor& t : tensors_) {
      if (t.name == name) return t.tensor;
    }
    throw std::logic_error(name);
  }
  std::filesystem::path path_;
  std::vector<NamedTensor> tensors_;
};

TEST_F(ModelFile, LoadsAndSaysSizes) {
  EXPECT_EQ(MessageOfLoading(), "");
  const LoadedModel model = LoadModel(path_);
  EXPECT_EQ(model.architecture->name, "rwkv7");
  EXPECT_EQ(model.sizes.at("head_size"), 8);
  EXPECT_EQ(model.vocab(), 11);
}

TEST_F(ModelFile, AMissingTensorIsNamed) {
  std::erase_if(tensors_, [](const NamedTensor& t) { return t.name == "blocks.1.att.k_a"; });
  EXPECT_NE(MessageOfLoading().find("blocks.1.att.k_a is missing"), std::string::npos);
}

TEST_F(ModelFile, ATensorTooManyIsNamed) {
  tensors_.push_back({"blocks.1.att.surplus", Tensor::Zeros({2})});
  EXPECT_NE(MessageOfLoading().find("blocks.1.att.surplus"), std::string::npos);
}

TEST_F(ModelFile, ATensorOfTheWrongShapeIsNamed) {
  Named("blocks.1.ffn.value.weight") = Tensor::Zeros({16, 63});
  EXPECT_NE(MessageOfLoading().find("blocks.1.ffn.value.weight must be [16, 64] but is [16, 63]"),
            std::string::npos);
}

TEST_F(ModelFile, HeadsThatDoNotMakeUpTheWidthAreNamed) {
  Named("blocks.0.att.r_k") = Tensor::Zeros({3, 8});
  EXPECT_NE(MessageOfLoading().find("r_k"), std::string::npos);
}

TEST_F(ModelFile, IntegersAreNotWeights) {
  Named("ln_out.bias") = Tensor::Zeros({16}, DType::kI32);
  EXPECT_NE(MessageOfLoading().find("ln_out.bias holds i32"), std::string::npos);
}

TEST_F(ModelFile, TheFirstLayersUnusedResidualIsIgnored) {
  tensors_.push_back({"blocks.0.att.v0", Tensor::Zeros({1, 1, 16})});
  EXPECT_EQ(MessageOfLoading(), "");
}

TEST_F(ModelFile, OtherNamesAreAnotherArchitecture) {
  tensors_ = {{"transformer.wte.weight", Tensor::Zeros({2, 2})}};
  EXPECT_NE(MessageOfLoading().find("no architecture"), std::string::npos);
}

TEST(Architectures, UnknownNamesListTheKnown) {
  try {
    FindArchitecture("gpt");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("rwkv7"), std::string::npos);
  }
}

TEST(Architectures, SizesThatDoNotFitSayWhatWould) {
  try {
    FindArchitecture("rwkv7").complete_sizes({{"layers", 1}, {"width", 100}, {"vocab", 5}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("try --width 128"), std::string::npos);
  }
}

TEST(Rwkv7, ASingleLayerIsFinite) {  // the reference's initialisation divides by zero there
  const Architecture& rwkv7 = FindArchitecture("rwkv7");
  const LoadedModel model =
      NewModel(rwkv7, rwkv7.complete_sizes({{"layers", 1}, {"width", 8}, {"head_size", 8}, {"vocab", 5}}), 1);
  Batch batch;
  batch.Append({1, 2, 3}, 0);
  const Tensor logits = model.model->Forward(batch, model.NewState(1));
  for (Dim i = 0; i < logits.size(); ++i) EXPECT_TRUE(std::isfinite(logits.data()[i]));
}

TEST(Sizes, AreCompletedByEachArchitecture) {
  const Sizes asked{{"layers", 2}, {"width", 64}, {"vocab", 11}};
  EXPECT_EQ(FindArchitecture("rwkv4").complete_sizes(asked).at("ffn"), 256);
  const Sizes five = FindArchitecture("rwkv5").complete_sizes(asked);
  EXPECT_EQ(five.at("ffn"), 224);
  EXPECT_EQ(five.at("head_size"), 64);
  EXPECT_EQ(five.at("revision"), 2);
  EXPECT_EQ(FindArchitecture("rwkv6").complete_sizes(asked).at("mix_rank"), 32);
  Sizes heads = asked;
  heads["head_size"] = 24;
  for (const char* name : {"rwkv4", "rwkv5", "rwkv6", "rwkv7"}) {  // no heads at all, or none of 24 in 64
    EXPECT_THROW(FindArchitecture(name).complete_sizes(heads), Error) << name;
  }
}

TEST(TunedState, OfACheckpointIsWhereSequencesBegin) {
  const Architecture& rwkv6 = FindArchitecture("rwkv6");
  const LoadedModel fresh = NewModel(
      rwkv6, rwkv6.complete_sizes({{"layers", 2}, {"width", 16}, {"head_size", 8}, {"vocab", 11}}), 1);
  std::vector<NamedTensor> tensors;
  for (const Parameter& p : fresh.params->parameters()) tensors.push_back({p.name, p.tensor});
  const Tensor tuned = Tensor::Zeros({2, 8, 8});  // head, value, key
  tuned.data()[64 + 3 * 8 + 5] = 7;
  tensors.push_back({"blocks.1.att.time_state", tuned});
  const auto path = std::filesystem::temp_directory_path() / ("linnet-tuned-" + std::to_string(getpid()));
  WriteSafetensors(path, tensors, {});
  const LoadedModel model = LoadModel(path);
  std::filesystem::remove(path);
  const std::vector<Tensor> state = model.NewState(1).Save(0);
  for (size_t i = 0; i < state.size(); ++i) {
    const bool there = model.params->states()[i].name == "blocks.1.att.wkv";
    for (Dim j = 0; j < state[i].size(); ++j) {  // head, key, value
      EXPECT_EQ(state[i].data()[j], there && j == 64 + 5 * 8 + 3 ? 7 : 0) << model.params->states()[i].name;
    }
  }
}

}  // namespace
}  // namespace linnet

// linnet info: the screen and the JSON object.
#include <nlohmann/json.hpp>

#include "cli/program.h"

namespace linnet {
namespace {

using nlohmann::json;

const std::map<std::string, std::string> kMetadata = {{"linnet", "0.1.0"},
                                                      {"architecture", "rwkv7"},
                                                      {"sizes", "{\"layers\": 2}"},
                                                      {"step", "1200"},
                                                      {"training", "{\"lr\": 0.002, \"data\": [\"a.txt\"]}"},
                                                      {"val_loss", "1.25"},
                                                      {"tokenizer", "bytes"},
                                                      {"note", "red \x1b[31m"}};

json Info(const std::string& file) {
  const Outcome outcome = RunLinnet({"info", file, "--json"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  return json::parse(outcome.out);
}

TEST(InfoCommand, JsonIsFlatAndTrue) {
  const TemporaryFolder folder;
  const auto file = WriteTinyModel(folder / "m.safetensors", 256, kMetadata);
  const json info = Info(file);
  const LoadedModel model = LoadModel(file);
  EXPECT_EQ(info["file"], file.string());
  EXPECT_EQ(info["format"], "safetensors");
  EXPECT_EQ(info["file_bytes"], std::filesystem::file_size(file));
  EXPECT_EQ(info["architecture"], "rwkv7");
  EXPECT_EQ(info["parameters"], model.params->count());
  EXPECT_EQ(info["tensors"], model.params->parameters().size());
  EXPECT_EQ(info["dtypes"], "f32 x " + std::to_string(model.params->parameters().size()));
  EXPECT_EQ(info["layers"], 2);
  EXPECT_EQ(info["width"], 32);
  EXPECT_EQ(info["vocab"], 256);
  const size_t state = model.NewState(1).slot_bytes();
  EXPECT_EQ(info["state_bytes"], state);
  const auto weights = static_cast<size_t>(model.params->count()) * 4;
  EXPECT_EQ(info["weight_bytes"], weights);
  EXPECT_EQ(info["token_bytes"], weights - 255 * 32 * 4 + 2 * state);  // a row of the embedding
  EXPECT_GT(info["read_gb_per_s"].get<double>(), 0);
  EXPECT_NEAR(info["limit_tokens_per_s"].get<double>(),
              info["read_gb_per_s"].get<double>() * 1e9 / info["token_bytes"].get<double>(), 1);
  EXPECT_EQ(info["tokenizer"], "bytes");
  EXPECT_EQ(info["step"], 1200);
  EXPECT_EQ(info["val_loss"], 1.25);
  EXPECT_EQ(info["training.lr"], 0.002);
  EXPECT_EQ(info["training.data"], json({"a.txt"}));
  EXPECT_EQ(info["linnet"], "0.1.0");
  EXPECT_FALSE(info.contains("sizes.layers"));
}

TEST(InfoCommand, TheTokenizerFollowsFromTheVocabulary) {
  const TemporaryFolder folder;
  EXPECT_EQ(Info(WriteTinyModel(folder / "a.safetensors", 256))["tokenizer"], "bytes");
  EXPECT_FALSE(Info(WriteTinyModel(folder / "b.safetensors", 40)).contains("tokenizer"));
}

TEST(InfoCommand, TheScreenSaysWhatMatters) {
  const TemporaryFolder folder;
  const auto file = WriteTinyModel(folder / "m.safetensors", 256, kMetadata);
  const Outcome outcome = RunLinnet({"info", file, "--tensors"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  for (const char* part :
       {"RWKV-7", "layers 2, width 32, head_size 16", "KiB a sequence", "for the weights", "at most",
        "tokenizer", "bytes", "1200", "training.lr", "0.002", "blocks.1.ffn.value.weight", "[32, 128]"}) {
    EXPECT_NE(outcome.out.find(part), std::string::npos) << part << " is missing in\n" << outcome.out;
  }
  EXPECT_EQ(outcome.out.find('\x1b'), std::string::npos);  // a file gives the terminal no orders
}

TEST(InfoCommand, AModelOfAnotherArchitectureIsStillDescribed) {
  const TemporaryFolder folder;
  const auto file = folder / "x.safetensors";
  WriteSafetensors(file, {{"w", Tensor::Zeros({3, 4})}, {"b", Tensor::Zeros({4}, DType::kBf16)}}, {});
  const json info = Info(file);
  EXPECT_EQ(info["parameters"], 16);
  EXPECT_EQ(info["dtypes"], "f32 x 1, bf16 x 1");
  EXPECT_FALSE(info.contains("architecture"));
  const Outcome screen = RunLinnet({"info", file});
  EXPECT_NE(screen.out.find("none that this version runs"), std::string::npos) << screen.out;
}

}  // namespace
}  // namespace linnet

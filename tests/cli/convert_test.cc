// linnet convert: files in, files out, refusals, and the comparison.
#include <nlohmann/json.hpp>

#include "cli/program.h"

namespace linnet {
namespace {

using nlohmann::json;

class ConvertCommand : public testing::Test {
 protected:
  ConvertCommand() {
    WriteTinyModel(folder_ / "m.safetensors", 256, {{"tokenizer", "bytes"}});
    WriteFile(folder_ / "text",
              "It was the best of times, it was the worst of times, it was the age of wisdom.");
  }
  std::string Path(const std::string& name) const { return folder_ / name; }

  json Converted(const std::string& target, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words = {"convert", Path("m.safetensors"), Path(target), "--json"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = RunLinnet(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.code == 0 ? json::parse(outcome.out) : json();
  }

  TemporaryFolder folder_;
};

TEST_F(ConvertCommand, TheSameTypesGiveTheSameModelExactly) {
  for (const char* target : {"a.safetensors", "a.pth", "a.gguf"}) {
    const json result = Converted(target, {"--verify", Path("text")});
    EXPECT_EQ(result["verify"]["tokens"], 77);
    EXPECT_EQ(result["verify"]["mean_kl"], 0);
    EXPECT_EQ(result["verify"]["same_top"], 1);
    EXPECT_EQ(result["verify"]["source_perplexity"], result["verify"]["perplexity"]);
    EXPECT_EQ(result["file_bytes"], std::filesystem::file_size(Path(target)));
    EXPECT_TRUE(result["notes"].empty());
  }
}

TEST_F(ConvertCommand, QuantizesAndSaysWhatItCost) {
  const json result = Converted("q.safetensors", {"--dtype", "q8_0", "--verify", Path("text")});
  EXPECT_EQ(result["dtypes"], "f32 x 41, bf16 x 14, q8_0 x 14");
  EXPECT_LT(result["file_bytes"], result["source_bytes"]);
  EXPECT_GT(result["verify"]["mean_kl"], 0);
  EXPECT_LT(result["verify"]["mean_kl"], 1e-2);
  EXPECT_EQ(json::parse(RunLinnet({"info", Path("q.safetensors"), "--json"}).out)["tokenizer"], "bytes");
}

TEST_F(ConvertCommand, SaysWhereTheBlocksDidNotFit) {
  const json result = Converted("q.safetensors", {"--dtype", "q4_k"});
  ASSERT_EQ(result["notes"].size(), 3u);
  EXPECT_EQ(result["notes"][1], "11 matrices with rows of 32 became q5_0: q4_k has blocks of 256");
  const Outcome screen =
      RunLinnet({"convert", Path("m.safetensors"), Path("r.safetensors"), "--dtype", "q4_k"});
  EXPECT_NE(screen.out.find("note: 11 matrices with rows of 32"), std::string::npos) << screen.out;
}

TEST_F(ConvertCommand, WritesAGgufWithTheModelsBytes) {
  EXPECT_EQ(Converted("m.gguf")["format"], "gguf");
  const std::string file = ReadFile(Path("m.gguf"));
  EXPECT_TRUE(file.starts_with("GGUF"));
  for (const char* part : {"rwkv7.wkv.head_size", "tokenizer.ggml.tokens", "linnet.tokenizer",
                           "blk.0.time_mix_v2.weight", "blk.1.time_mix_lerp_fused.weight"}) {
    EXPECT_NE(file.find(part), std::string::npos) << part;
  }
}

TEST_F(ConvertCommand, TheFormatCanBeSaid) {
  EXPECT_EQ(Converted("model", {"--format", "pth"})["format"], "pth");
  EXPECT_TRUE(ReadFile(Path("model")).starts_with("PK"));
}

TEST_F(ConvertCommand, ReplacesNothingUnasked) {
  const std::string source = Path("m.safetensors"), before = ReadFile(source);
  std::filesystem::create_symlink(source, Path("link.safetensors"));
  for (const std::string& target : {source, Path("link.safetensors")}) {
    EXPECT_TRUE(FailsWith({"convert", source, target, "--force"}, {"is the model itself"}));
  }
  WriteFile(Path("old.pth"), "old");
  EXPECT_TRUE(FailsWith({"convert", source, Path("old.pth")}, {"old.pth: exists", "--force"}));
  EXPECT_EQ(ReadFile(Path("old.pth")), "old");
  EXPECT_EQ(Converted("old.pth", {"--force"})["format"], "pth");
  EXPECT_EQ(ReadFile(source), before);
}

TEST_F(ConvertCommand, RefusesBeforeAnythingIsWritten) {
  const std::string source = Path("m.safetensors"), target = Path("out.pth");
  EXPECT_TRUE(FailsWith({"convert", source, Path("out.bin")}, {"does not say the format"}));
  EXPECT_TRUE(FailsWith({"convert", source, target, "--dtype", "q4_0"}, {"torch has no such type", ".gguf"}));
  EXPECT_TRUE(FailsWith({"convert", source, target, "--verify", Path("no-text")}, {"no-text"}));
  WriteFile(Path("empty"), "");
  EXPECT_TRUE(
      FailsWith({"convert", source, target, "--verify", Path("empty")}, {"has 0 tokens", "at least two"}));
  EXPECT_TRUE(FailsWith({"convert", Path("text"), target}, {"is not a model file"}));
  EXPECT_FALSE(std::filesystem::exists(target));
  EXPECT_EQ(RunLinnet({"convert", source, target, "--dtype", "int3"}).code, 2);
}

}  // namespace
}  // namespace linnet

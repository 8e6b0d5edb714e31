// linnet logits: what it prints, and what it says of mistakes.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/program.h"

namespace linnet {
namespace {

using nlohmann::json;

class Logits : public testing::Test {
 protected:
  Outcome Run(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"logits", model_});
    return RunLinnet(arguments);
  }
  json Json(std::vector<std::string> arguments) const {
    arguments.push_back("--json");
    const Outcome outcome = Run(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return json::parse(outcome.out);
  }
  testing::AssertionResult Fails(const std::string& tokens, const std::vector<std::string>& parts) const {
    return FailsWith({"logits", model_, "--tokens", tokens}, parts);
  }
  /// The argument that has tokens read from a file of that name.
  std::string At(const std::string& name) const { return fmt::format("@{}", (folder_ / name).string()); }

  TemporaryFolder folder_;
  std::string model_ = WriteTinyModel(folder_ / "m.safetensors").string();
};

TEST_F(Logits, AreThoseOfTheModelToTheBit) {
  const LoadedModel model = LoadModel(model_);
  Batch batch;
  batch.Append({72, 105, 0, 255}, 0);
  const Tensor expected = model.model->Forward(batch, model.NewState(1));
  const json output = Json({"--tokens", "72,105,0,255", "--all"});
  EXPECT_EQ(output.size(), 3u);
  EXPECT_EQ(output["vocab"], 256);
  EXPECT_EQ(output["tokens"], json({72, 105, 0, 255}));
  ASSERT_EQ(output["logits"].size(), 4u);
  for (size_t row = 0; row < 4; ++row) {
    ASSERT_EQ(output["logits"][row].size(), 256u);
    for (size_t i = 0; i < 256; ++i) {
      EXPECT_EQ(output["logits"][row][i].get<float>(), expected.data()[row * 256 + i]);
    }
  }
}

TEST_F(Logits, WithoutAllThereIsTheLastRow) {
  const json all = Json({"--tokens", "1,2,3", "--all", "--precision", "fp32"});
  const json last = Json({"--tokens", "1,2,3", "--precision", "fp32"});
  ASSERT_EQ(last["logits"].size(), 1u);
  for (size_t i = 0; i < 256; ++i) {
    EXPECT_NEAR(last["logits"][0][i].get<double>(), all["logits"][2][i].get<double>(), 1e-4);
  }
}

TEST_F(Logits, TokensMayComeFromAFile) {
  WriteFile(folder_ / "ids", "1, 2\n3\t4\r\n");
  EXPECT_EQ(Json({"--tokens", At("ids")})["tokens"], json({1, 2, 3, 4}));
  WriteFile(folder_ / "bad", "1 2 x3");
  EXPECT_TRUE(Fails(At("bad"), {(folder_ / "bad").string(), "'x3'", "number 3"}));
  EXPECT_TRUE(Fails(At("none"), {(folder_ / "none").string(), "No such file"}));
}

TEST_F(Logits, MoreTokensThanAChunkGiveARowEach) {
  std::string ids;
  for (int i = 0; i < 700; ++i) ids += fmt::format("{}{}", i == 0 ? "" : ",", i % 256);
  EXPECT_EQ(Json({"--tokens", ids, "--all"})["logits"].size(), 700u);
}

TEST_F(Logits, BadTokensAreNamed) {
  EXPECT_TRUE(Fails("1,256", {"--tokens", "'256'", "number 2", "0 to 255"}));
  EXPECT_TRUE(Fails("-1", {"--tokens", "'-1'"}));
  EXPECT_TRUE(Fails("1,2.5", {"'2.5'"}));
  EXPECT_TRUE(Fails("99999999999999999999", {"'99999999999999999999'"}));
  EXPECT_TRUE(Fails("one", {"'one'"}));
  EXPECT_TRUE(Fails(",", {"--tokens", "no tokens"}));
}

TEST_F(Logits, BadFlagsExitWith2) {
  const Outcome outcome = Run({"--tokens", "1", "--precision", "fp8"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_NE(outcome.err.find("--precision"), std::string::npos) << outcome.err;
  EXPECT_EQ(Run({}).code, 2);
  EXPECT_EQ(Run({"--tokens", "1", "--threads", "0"}).code, 2);
}

TEST_F(Logits, ForPeopleThereAreTheTenLargest) {
  const Outcome outcome = Run({"--tokens", "72,105", "--all"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_NE(outcome.out.find("after position 1, token 105 'i'"), std::string::npos) << outcome.out;
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 22);
}

TEST_F(Logits, NumbersThatJsonCannotSayAreNull) {
  const auto checkpoint = Checkpoint::Open(model_);
  std::vector<NamedTensor> tensors;
  for (const auto& entry : checkpoint->entries()) {
    tensors.push_back({entry.name, checkpoint->Load(entry.name).Clone()});
    if (entry.name == "head.weight") tensors.back().tensor.data()[5 * 32] = std::nanf("");
  }
  const std::string damaged = (folder_ / "nan.safetensors").string();
  WriteSafetensors(damaged, tensors, {});
  const Outcome outcome = RunLinnet({"logits", damaged, "--tokens", "1", "--json"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const json row = json::parse(outcome.out)["logits"][0];
  for (size_t i = 0; i < 256; ++i) EXPECT_EQ(row[i].is_null(), i == 5) << i;
  EXPECT_NE(RunLinnet({"logits", damaged, "--tokens", "1"}).out.find("1 logits are NaN"), std::string::npos);
  EXPECT_TRUE(FailsWith({"generate", damaged, "-p", "a"}, {"token 5 is nan"}));
}

TEST_F(Logits, WorkWithoutATokenizer) {
  const std::string small = WriteTinyModel(folder_ / "small.safetensors", 40).string();
  const Outcome outcome = RunLinnet({"logits", small, "--tokens", "39"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
}

}  // namespace
}  // namespace linnet

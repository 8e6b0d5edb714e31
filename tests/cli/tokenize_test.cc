// linnet tokenize: the formats that other programs rely on.
#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "text/tokenizer_files.h"

namespace linnet {
namespace {

class TokenizeCommand : public testing::Test {
 protected:
  TokenizeCommand() {
    WriteFile(folder_ / "w.txt", SmallWorld(300));
    nlohmann::json bpe = SmallBpe({{"a", "b"}});
    bpe["added_tokens"] = nlohmann::json::array({AddedToken(257, "<end>", true, false)});
    WriteFile(folder_ / "b.json", bpe.dump());
  }

  std::string Output(std::vector<std::string> arguments, const std::string& input) const {
    arguments.insert(arguments.begin(), "tokenize");
    const Outcome outcome = RunLinnet(arguments, input);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.out;
  }

  TemporaryFolder folder_;
  std::string world_ = (folder_ / "w.txt").string(), bpe_ = (folder_ / "b.json").string();
};

TEST_F(TokenizeCommand, PrintsIds) {
  EXPECT_EQ(Output({"--tokenizer", "bytes"}, "ab\n"), "97 98 10\n");
  EXPECT_EQ(Output({"--tokenizer", "bytes", "--json"}, "ab"), "{\"tokens\": [97, 98]}\n");
  EXPECT_EQ(Output({"--tokenizer", "bytes", "--json"}, ""), "{\"tokens\": []}\n");
  EXPECT_EQ(Output({"--vocab", world_, "--json"}, "00299\xFF"), "{\"tokens\": [299, 256]}\n");
  EXPECT_EQ(Output({"--vocab", bpe_, "--json"}, "ab<end>"), "{\"tokens\": [256, 257]}\n");
  EXPECT_EQ(Output({"--vocab", bpe_, "--show"}, "ab\n<end>"), "256\tab\n10\t\\x0a\n257\t<end>\n");
}

TEST_F(TokenizeCommand, ReadsIdsInAnyFormat) {
  const std::vector<std::string> inputs = {"{\"tokens\": [97, 98]}",
                                           "{\"n\": [1, {\"tokens\": [2]}], \"tokens\": [97, 98], \"m\": 3}",
                                           " [97,98]\n",
                                           "97 98",
                                           "97,98\n",
                                           "\n97\r\n,\t98"};
  for (const std::string& input : inputs) {
    EXPECT_EQ(Output({"--tokenizer", "bytes", "--decode"}, input), "ab") << input;
    EXPECT_EQ(Output({"--tokenizer", "bytes", "--decode", "--json"}, input), "ab") << input;
  }
  EXPECT_EQ(Output({"--tokenizer", "bytes", "--decode"}, ""), "");
  EXPECT_EQ(Output({"--tokenizer", "bytes", "--decode"}, "[]"), "");
  EXPECT_EQ(Output({"--tokenizer", bpe_, "--decode"}, "[256, 257]"), "ab");
  EXPECT_EQ(Output({"--tokenizer", bpe_, "--decode", "--keep-special"}, "[256, 257]"), "ab<end>");
}

TEST_F(TokenizeCommand, LongInputsComeBack) {
  std::string text;
  for (int i = 0; i < 300'000; ++i) text += fmt::format("{:05} \xFF", i);
  for (const std::string& tokenizer : {std::string("bytes"), world_, bpe_}) {
    const std::string ids = Output({"--tokenizer", tokenizer}, text);
    EXPECT_TRUE(Output({"--tokenizer", tokenizer, "--decode"}, ids) == text) << tokenizer;
    const std::string json = Output({"--tokenizer", tokenizer, "--json"}, text);
    EXPECT_TRUE(Output({"--tokenizer", tokenizer, "--decode"}, json) == text) << tokenizer;
  }
}

TEST_F(TokenizeCommand, RefusesWhatAreNoIds) {
  const std::vector<std::string> inputs = {
      "x",    "1 2x", "-1", "256",           "99999999999", "[1.5]",        "[\"a\"]",        "[[1]]",
      "[-1]", "[1",   "{}", "{\"ids\":[1]}", "[256]",       "[4294967296]", "{\"tokens\": 1}"};
  for (const std::string& input : inputs) {
    EXPECT_TRUE(FailsWith({"tokenize", "--tokenizer", "bytes", "--decode"}, {}, input)) << input;
  }
  EXPECT_TRUE(FailsWith({"tokenize", "--tokenizer", "elvish"}, {"elvish"}));
  EXPECT_TRUE(FailsWith({"tokenize"}, {"--tokenizer"}));
}

// A model finds its tokenizer beside it.
TEST_F(TokenizeCommand, GenerateUsesTheTokenizerBesideTheModel) {
  const std::string model = WriteTinyModel(folder_ / "m.safetensors", 304).string();
  const std::vector<std::string> command = {"generate", model, "-p", "a", "-n", "0", "--seed", "1", "--json"};
  EXPECT_TRUE(FailsWith(command, {"found no tokenizer", "304"}));
  WriteFile(folder_ / "vocab.txt", SmallWorld(300));
  const Outcome outcome = RunLinnet(command);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(RunLinnet({"info", model, "--json"}).out.find("vocab.txt"), std::string::npos);
}

}  // namespace
}  // namespace linnet

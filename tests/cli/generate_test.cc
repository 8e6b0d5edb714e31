// linnet generate: where its text comes from and goes to.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/program.h"

namespace linnet {
namespace {

class GenerateCommand : public testing::Test {
 protected:
  /// Standard output of a run that must succeed.
  std::string Text(std::vector<std::string> arguments, const std::string& input = "") const {
    arguments.insert(arguments.begin(), {"generate", model_, "--past-end", "--seed", "5"});
    const Outcome outcome = RunLinnet(arguments, input);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    return outcome.out;
  }

  TemporaryFolder folder_;
  std::string model_ = WriteTinyModel(folder_ / "m.safetensors").string();
};

TEST_F(GenerateCommand, ThePromptComesFromAFlagAFileOrStandardInput) {
  const std::string text = Text({"-p", "abc", "-n", "64"});
  EXPECT_EQ(text.size(), 64u);
  WriteFile(folder_ / "prompt", "abc");
  EXPECT_EQ(Text({"--prompt-file", (folder_ / "prompt").string(), "-n", "64"}), text);
  EXPECT_EQ(Text({"--prompt-file", "-", "-n", "64"}, "abc"), text);
  EXPECT_EQ(Text({"-n", "64"}, "abc"), text);
  EXPECT_NE(Text({"-n", "64"}, "abd"), text);
  EXPECT_EQ(Text({"-n", "64"}, ""), Text({"-n", "64"}, std::string(1, '\0')));
  EXPECT_EQ(Text({"-p", "abc", "-n", "64", "--echo"}), "abc" + text);
}

TEST_F(GenerateCommand, OptionsReachTheSampler) {
  const std::string text = Text({"-p", "abc", "-n", "64"});
  EXPECT_EQ(Text({"-p", "abc", "-n", "64", "--temperature", "1", "--top-p", "0.85"}), text);
  EXPECT_NE(RunLinnet({"generate", model_, "--past-end", "--seed", "6", "-p", "abc", "-n", "64"}).out, text);
  const std::string greedy = Text({"-p", "abc", "-n", "64", "--temperature", "0"});
  EXPECT_NE(greedy, text);
  const std::vector<std::vector<std::string>> narrow = {{"--top-k", "1"}, {"--top-p", "0"}, {"--min-p", "1"}};
  for (const auto& flags : narrow) {
    EXPECT_EQ(Text({"-p", "abc", "-n", "64", flags[0], flags[1]}), greedy) << flags[0];
  }
  EXPECT_NE(Text({"-p", "abc", "-n", "64", "--typical-p", "0.1"}), text);
}

TEST_F(GenerateCommand, PenaltiesBiasesAndBansReachTheSampler) {
  const auto greedy = [&](std::vector<std::string> flags) {
    flags.insert(flags.end(), {"-p", "abc", "-n", "64", "--temperature", "0"});
    return Text(std::move(flags));
  };
  const std::string text = greedy({});
  const auto most_often = [](const std::string& t, char c) { return std::count(t.begin(), t.end(), c); };
  for (const char* flag : {"--presence-penalty", "--frequency-penalty", "--repetition-penalty"})
    EXPECT_LT(most_often(greedy({flag, "9"}), text.back()), most_often(text, text.back())) << flag;
  const std::string id = std::to_string(static_cast<unsigned char>(text[0]));
  EXPECT_EQ(greedy({"--ban", id}).find(text[0]), std::string::npos);
  EXPECT_EQ(greedy({"--bias", "113=1000"}), std::string(64, 'q'));
  EXPECT_EQ(greedy({"--bias-text", "q=1000"}), std::string(64, 'q'));
  EXPECT_NE(greedy({"--bias-text", "q=1000", "--ban-text", "q"}), std::string(64, 'q'));
  EXPECT_NE(Text({"-p", "abc", "-n", "64", "--mirostat-tau", "1"}), Text({"-p", "abc", "-n", "64"}));
}

TEST_F(GenerateCommand, StopsNeverShow) {
  const std::string text = Text({"-p", "abc", "-n", "64"});
  const std::string stop = text.substr(30, 3);
  ASSERT_EQ(stop.find('\0'), std::string::npos) << "no flag can hold a NUL: choose another seed";
  const std::string before = text.substr(0, text.find(stop));
  EXPECT_EQ(Text({"-p", "abc", "-n", "64", "--stop", stop}), before);
  EXPECT_EQ(Text({"-p", "abc", "-n", "64", "--stop", "no such text", "--stop", stop}), before);
}

TEST_F(GenerateCommand, StreamingChangesNothingButTheTime) {
  const std::string text = Text({"-p", "abc", "-n", "64", "--stream"});
  EXPECT_EQ(Text({"-p", "abc", "-n", "64", "--no-stream"}), text);
}

TEST_F(GenerateCommand, JsonSaysEverything) {
  const auto object = nlohmann::json::parse(Text({"-p", "abc", "-n", "64", "--json"}));
  EXPECT_TRUE(object["text"].is_string());
  EXPECT_EQ(object["end"], "length");
  EXPECT_EQ(object["prompt_tokens"], 3);
  EXPECT_EQ(object["tokens"], 64);
  EXPECT_EQ(object["seed"], 5);
  EXPECT_GT(object["prompt_tokens_per_s"].get<double>(), 0);
  EXPECT_GT(object["tokens_per_s"].get<double>(), 0);
}

TEST_F(GenerateCommand, StatsGoToStandardError) {
  const Outcome outcome = RunLinnet({"generate", model_, "-p", "abc", "-n", "0", "--seed", "77", "--stats"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, "");
  EXPECT_NE(outcome.err.find("prompt: 3 tokens"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("seed 77"), std::string::npos) << outcome.err;
}

TEST_F(GenerateCommand, CtrlCEndsItInOrder) {
  // timeout(1) sends the signal as a terminal would; what was generated so far stays.
  const std::string out = folder_ / "out";
  const std::string command = fmt::format(
      "timeout --foreground --preserve-status --signal=INT 2 {} generate {} -p abc -n 1000000000000 "
      "--past-end --stats",
      Quoted(LINNET_PROGRAM), Quoted(model_));
  const int status =
      std::system(fmt::format("{} >{} 2>{}", command, Quoted(out), Quoted(out + ".err")).c_str());
  EXPECT_EQ(WEXITSTATUS(status), 130);
  EXPECT_NE(ReadFile(out + ".err").find("ended by: interrupted"), std::string::npos)
      << ReadFile(out + ".err");
  EXPECT_FALSE(ReadFile(out).empty());
}

TEST_F(GenerateCommand, BadValuesNameTheFlag) {
  const std::vector<std::vector<std::string>> cases = {
      {"--temperature", "-1"}, {"--top-p", "1.5"},    {"--top-k", "-2"},
      {"--min-p", "2"},        {"--typical-p", "0"},  {"--seed", "x"},
      {"--threads", "0"},      {"--precision", "q4"}, {"-n", "-1"},
      {"-n", "many"}};
  for (const auto& flags : cases) {
    EXPECT_TRUE(FailsWith({"generate", model_, "-p", "a", flags[0], flags[1]}, {flags[0]}));
  }
  const std::vector<std::vector<std::string>> tokens = {{"--ban", "256", "no token 256"},
                                                        {"--ban-text", "ab", "'ab'"},
                                                        {"--ban-text", "", "''"},
                                                        {"--bias", "7", "TOKEN=NUMBER"},
                                                        {"--bias", "x=1", "'x' is not a number"},
                                                        {"--bias", "7=1e300", "'1e300' is not a number"},
                                                        {"--bias", "7=inf", "token 7"},
                                                        {"--bias-text", "ab=1", "'ab' is not one token"}};
  for (const auto& flags : tokens)
    EXPECT_TRUE(FailsWith({"generate", model_, "-p", "a", flags[0], flags[1]}, {flags[2]}));
  EXPECT_TRUE(FailsWith({"generate", model_, "-p", "a", "--stop", ""}, {"stop string"}));
  EXPECT_TRUE(FailsWith({"generate", model_, "-p", "a", "--prompt-file", "x"}, {"--prompt"}));
  EXPECT_TRUE(FailsWith({"generate", model_, "--prompt-file", "/none/such"}, {"/none/such"}));
}

TEST_F(GenerateCommand, AModelWithoutATokenizerIsRefused) {
  const std::string small = WriteTinyModel(folder_ / "small.safetensors", 40).string();
  EXPECT_TRUE(FailsWith({"generate", small, "-p", "a"}, {small, "vocabulary of 40", "linnet logits"}));
  const std::string contrary =
      WriteTinyModel(folder_ / "c.safetensors", 40, {{"tokenizer", "bytes"}}).string();
  EXPECT_TRUE(FailsWith({"generate", contrary, "-p", "a"}, {contrary, "vocabulary of 40", "'bytes'"}));
  const std::string foreign =
      WriteTinyModel(folder_ / "f.safetensors", 256, {{"tokenizer", "elvish"}}).string();
  EXPECT_TRUE(FailsWith({"generate", foreign, "-p", "a"}, {foreign, "elvish", "linnet logits"}));
}

}  // namespace
}  // namespace linnet

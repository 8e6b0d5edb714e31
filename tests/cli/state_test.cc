// linnet state, and --state-in and --state-out of linnet generate.
#include <nlohmann/json.hpp>

#include "cli/program.h"

namespace linnet {
namespace {

class StateCommand : public testing::Test {
 protected:
  std::string Path(const std::string& name) const { return folder_ / name; }
  /// Standard output of a run that must succeed.
  std::string Text(const std::vector<std::string>& arguments, const std::string& input = "") const {
    const Outcome outcome = RunLinnet(arguments, input);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    return outcome.out;
  }
  std::string Generated(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"generate", model_, "--past-end", "--temperature", "0"});
    return Text(arguments);
  }
  /// A state after `prompt`.
  std::string StateAfter(const std::string& prompt) const {
    const std::string path = Path(prompt + ".state");
    Generated({"-p", prompt, "-n", "0", "--state-out", path});
    return path;
  }

  TemporaryFolder folder_;
  std::string model_ = WriteTinyModel(folder_ / "m.safetensors").string();
};

TEST_F(StateCommand, AResumedTextIsTheUninterruptedOne) {
  const std::string text = Generated({"-p", "abc", "-n", "48"}), state = Path("s");
  const std::string first = Generated({"-p", "abc", "-n", "20", "--state-out", state});
  EXPECT_EQ(first + Generated({"-n", "28", "--state-in", state}), text);
  // A prompt goes on from there, too, and a state can be replaced by the one that follows it.
  Generated({"-p", "c", "-n", "0", "--state-in", StateAfter("ab"), "--state-out", state});
  EXPECT_EQ(Generated({"-n", "9", "--state-in", state}), text.substr(0, 9));
  Generated({"-n", "5", "--state-in", state, "--state-out", state});
  EXPECT_EQ(Generated({"-n", "9", "--state-in", state}), text.substr(5, 9));
}

TEST_F(StateCommand, InfoSaysWhatAStateIs) {
  const std::string state = StateAfter("abcd");
  const auto info = nlohmann::json::parse(Text({"state", "info", state, "--json"}));
  EXPECT_EQ(info["architecture"], "rwkv7");
  EXPECT_EQ(info["sizes"]["layers"], 2);
  EXPECT_EQ(info["tokens"], 4);
  EXPECT_EQ(info["tokenizer"], "bytes");
  EXPECT_EQ(info["logits"], true);
  ASSERT_EQ(info["variables"].size(), 6u);
  for (const auto& variable : info["variables"]) EXPECT_GT(variable["norm"].get<double>(), 0);
  const std::string screen = Text({"state", "info", state});
  for (const char* part : {"rwkv7", "tokens     4", "att.wkv", "ffn.shift"}) {
    EXPECT_NE(screen.find(part), std::string::npos) << part;
  }
}

TEST_F(StateCommand, MergeAveragesAndDiffMeasures) {
  const std::string a = StateAfter("abc"), b = StateAfter("xyzzy"), mixed = Path("mixed");
  const auto distance = [&](const std::string& from, const std::string& to) {
    return nlohmann::json::parse(Text({"state", "diff", from, to, "--json"}))["distance"].get<double>();
  };
  EXPECT_EQ(distance(a, a), 0);
  EXPECT_GT(distance(a, b), 0.1);
  Text({"state", "merge", a, b, "--weights", "3,1", "-o", mixed});
  EXPECT_NEAR(distance(a, mixed) / distance(a, b), 0.25, 0.1);  // of the longer one, hence not exact
  Text({"state", "blend", a, b, "--weights", "2,0", "-o", mixed});
  EXPECT_EQ(distance(a, mixed), 0);
  EXPECT_EQ(Generated({"-p", "d", "-n", "9", "--state-in", mixed}),
            Generated({"-p", "d", "-n", "9", "--state-in", a}));
  EXPECT_TRUE(FailsWith({"generate", model_, "--state-in", mixed}, {"give it a prompt"}));
  EXPECT_NE(Text({"state", "diff", a, b}).find("ffn.shift"), std::string::npos);
}

TEST_F(StateCommand, ATunedStateIsWhatATextStartsFrom) {
  const std::string tuned = Path("tuned");
  std::vector<NamedTensor> tensors;
  Random random(4);
  for (int layer = 0; layer < 2; ++layer) {
    const Tensor state = Tensor::Empty({2, 16, 16});
    for (Dim i = 0; i < state.size(); ++i) state.data()[i] = static_cast<float>(random.Normal());
    tensors.push_back({fmt::format("blocks.{}.att.time_state", layer), state});
  }
  WriteSafetensors(tuned, tensors, {});
  const std::string text = Generated({"-p", "abc", "-n", "32", "--state-in", tuned});
  EXPECT_EQ(text.size(), 32u);
  EXPECT_NE(text, Generated({"-p", "abc", "-n", "32"}));
  EXPECT_NE(Text({"state", "info", tuned}).find("tuned"), std::string::npos);
}

TEST_F(StateCommand, AttentionGoesOnUntilItsRoomIsFull) {
  const std::string model = WriteTinyModel(folder_ / "b.safetensors", 256, {}, "rwkv7b").string();
  const auto generated = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(),
                     {"generate", model, "--past-end", "--temperature", "0", "--context", "40"});
    return arguments;
  };
  const std::string whole = Text(generated({"-p", "abc", "-n", "30"})), a = Path("a"), b = Path("b");
  const std::string first = Text(generated({"-p", "abc", "-n", "12", "--state-out", a}));
  EXPECT_EQ(first + Text(generated({"-n", "18", "--state-in", a, "--state-out", b})), whole);
  const Outcome full = RunLinnet(generated({"-n", "30", "--state-in", a}));
  EXPECT_NE(full.code, 0);
  EXPECT_NE(full.err.find("remembers 40 tokens"), std::string::npos) << full.err;
  EXPECT_TRUE(FailsWith({"state", "merge", a, b, "-o", a}, {"blocks.0.qkv.length counts 15", "33"}));
  EXPECT_TRUE(FailsWith({"generate", model, "-p", "a", "--state-in", a}, {"other sizes", "\"context\":40"}));
  EXPECT_TRUE(FailsWith({"generate", model_, "-p", "a", "--context", "9"}, {"rwkv7", "--context"}));
}

TEST_F(StateCommand, MistakesAreNamed) {
  const std::string a = StateAfter("abc");
  EXPECT_TRUE(FailsWith({"state", "info", model_}, {model_, "is not a state"}));
  EXPECT_TRUE(FailsWith({"generate", model_, "-p", "a", "--state-in", model_}, {"is not a state"}));
  EXPECT_TRUE(FailsWith({"state", "merge", a, a, "--weights", "1", "-o", a}, {"--weights", "2 states"}));
  EXPECT_TRUE(FailsWith({"state", "merge", a, a, "--weights", "1,-1", "-o", a}, {"--weights", "add up"}));
  EXPECT_TRUE(FailsWith({"state", "diff", a, "/none/such"}, {"/none/such"}));
  EXPECT_TRUE(FailsWith({"state"}, {"subcommand"}));
}

TEST_F(StateCommand, OtherWeightsAreSaidAndUsed) {
  const std::string a = StateAfter("abc");
  const std::string other = folder_ / "other.safetensors";
  const auto checkpoint = Checkpoint::Open(model_);
  std::vector<NamedTensor> tensors;
  for (const auto& entry : checkpoint->entries()) {
    const Tensor tensor = checkpoint->Load(entry.name).Clone();
    if (entry.name == "ln_out.bias") tensor.data()[0] += 1;
    tensors.push_back({entry.name, tensor});
  }
  WriteSafetensors(other, tensors, {});
  const Outcome outcome = RunLinnet({"generate", other, "-p", "d", "-n", "3", "--past-end", "--state-in", a});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out.size(), 3u);
  EXPECT_NE(outcome.err.find("other weights"), std::string::npos) << outcome.err;
}

}  // namespace
}  // namespace linnet

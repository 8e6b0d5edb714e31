// Fine-tuning as its users do it: a model is trained on one text, tuned beside to another, used and merged.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "train/checkpointing.h"
#include "train/log.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

/// A model that has learnt one text, and another text that it has not.
class TuneProgram : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    std::string old, fresh;
    while (old.size() < 6000) old += "the quick brown fox jumps over the lazy dog. ";
    while (fresh.size() < 6000) fresh += "PACK MY BOX WITH FIVE DOZEN LIQUOR JUGS! ";
    WriteFile(*folder_ / "old", old);
    WriteFile(*folder_ / "new", fresh);
    const Outcome base =
        RunLinnet({"train",   "--data",  Path("old"),   "--out", Path("base"), "--layers",  "2",
                   "--width", "64",      "--head-size", "32",    "--ctx",      "32",        "--batch",
                   "4",       "--steps", "60",          "--lr",  "4e-3",       "--threads", "1"});
    ASSERT_EQ(base.code, 0) << base.err;
    const Outcome converted =
        RunLinnet({"convert", Base(), Path("base.q8_0.safetensors"), "--dtype", "q8_0"});
    ASSERT_EQ(converted.code, 0) << converted.err;
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }

  static std::string Path(const std::string& name) { return *folder_ / name; }
  static std::string Base() { return Path("base") + "/model.safetensors"; }

  static Words Command(const std::string& init, const std::string& out, const Words& more,
                       const std::string& steps = "60") {
    Words words{"train",   "--init", init,      "--data", Path("new"),   "--out", Path(out),   "--ctx", "32",
                "--batch", "4",      "--steps", steps,    "--val-every", "20",    "--threads", "1"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  /// Tunes, and expects the held-out loss to fall by `nats` below what the model had at first.
  static std::string Tuned(const std::string& init, const std::string& out, const Words& more, double nats) {
    const std::string before = ReadFile(init);
    const Outcome outcome = RunLinnet(Command(init, out, more));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(ReadFile(init), before) << "the frozen model has changed";
    const std::vector<StepRecord> log = ReadLog(Path(out) + "/log.jsonl");
    EXPECT_LT(log.back().val_loss.value_or(1e9), log.front().loss - nats) << out;
    return Path(out) + "/model.safetensors";
  }
  static std::vector<double> Logits(const std::string& model, const Words& more = {}) {
    Words words{"logits", model, "--tokens", "80,65,67,75,32", "--json"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = RunLinnet(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return nlohmann::json::parse(outcome.out)["logits"][0];
  }

  static TemporaryFolder* folder_;
};

TemporaryFolder* TuneProgram::folder_ = nullptr;

TEST_F(TuneProgram, ALoraLearnsBesideAModelOfAnyType) {
  for (const std::string& init : {Base(), Path("base.q8_0.safetensors")}) {
    const std::string name = init == Base() ? "f32" : "q8_0";
    const std::string lora = Tuned(init, "lora-" + name, {"--lora", "4", "--lr", "2e-2"}, 1.0);
    const auto file = Checkpoint::Open(lora);
    for (const auto& entry : file->entries()) {
      EXPECT_TRUE(entry.name.ends_with(".lora_A") || entry.name.ends_with(".lora_B")) << entry.name;
    }
    EXPECT_LT(fs::file_size(lora), fs::file_size(Base()) / 2);
    const Words generate{"generate", init, "-p", "PACK MY BOX", "-n", "20", "--temperature", "0"};
    Words adapted = generate;
    adapted.insert(adapted.end(), {"--lora", lora});
    EXPECT_NE(RunLinnet(generate).out, RunLinnet(adapted).out);
    EXPECT_EQ(RunLinnet(adapted).err, "") << "no warning: it is the model that it was made for";
    EXPECT_TRUE(FailsWith({"generate", lora, "-p", "x"}, {lora, "is a LoRA", "--lora"}));
  }
}

TEST_F(TuneProgram, MergedIsUnmerged) {
  const std::string lora = Tuned(Base(), "to-merge", {"--lora", "4", "--pissa", "--lr", "5e-3"}, 0.5);
  const std::string merged = Path("merged.safetensors");
  const Outcome outcome = RunLinnet({"merge", Base(), "--lora", lora, "-o", merged, "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(nlohmann::json::parse(outcome.out)["adapted"], 12);
  const std::vector<double> one = Logits(merged), other = Logits(Base(), {"--lora", lora}),
                            base = Logits(Base());
  double difference = 0, change = 0;
  for (size_t i = 0; i < base.size(); ++i) {
    difference = std::max(difference, std::abs(one[i] - other[i]));
    change = std::max(change, std::abs(one[i] - base[i]));
  }
  EXPECT_LT(difference, 1e-4 * change);
  EXPECT_GT(change, 1);
  EXPECT_TRUE(FailsWith({"merge", Base(), "--lora", lora, "-o", merged}, {merged, "exists", "--force"}));
  EXPECT_TRUE(FailsWith({"merge", Base(), "-o", Path("x.safetensors")}, {"nothing to fold", "--lora"}));
  // Straight to a GGUF, the same model.
  const std::string gguf = Path("merged.gguf");
  ASSERT_EQ(RunLinnet({"merge", Base(), "--lora", lora, "-o", gguf}).code, 0);
  EXPECT_EQ(Checkpoint::Open(gguf)->format(), "gguf");
  EXPECT_EQ(Logits(gguf), one);
  const auto written = [](const std::string& model) {
    return RunLinnet({"generate", model, "-p", "PACK", "-n", "20", "--temperature", "0"}).out;
  };
  EXPECT_EQ(written(gguf), written(merged)) << "with the vocabulary of the GGUF";
}

TEST_F(TuneProgram, AStateLearnsAndBecomesAModelsOwn) {
  const std::string q8 = Path("base.q8_0.safetensors");
  const std::string state = Tuned(q8, "state", {"--tune", "state", "--lr", "0.1"}, 0.2);
  EXPECT_TRUE(FailsWith({"generate", state, "-p", "x"}, {state, "is a tuned state", "--state-in"}));
  EXPECT_NE(RunLinnet({"state", "info", state}).out.find("a tuned state"), std::string::npos);
  const Words greedy{"-p", "P", "-n", "24", "--temperature", "0"};
  const auto generated = [&](Words words) {
    words.insert(words.end(), greedy.begin(), greedy.end());
    const Outcome outcome = RunLinnet(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.out;
  };
  const std::string tuned = generated({"generate", q8, "--state-in", state});
  EXPECT_NE(tuned, generated({"generate", q8}));
  const std::string own = Path("own-state.safetensors");
  ASSERT_EQ(RunLinnet({"merge", q8, "--state", state, "-o", own}).code, 0);
  EXPECT_EQ(generated({"generate", own}), tuned);
  EXPECT_TRUE(FailsWith({"merge", q8, "--state", state, "-o", Path("x.gguf")}, {"x.gguf", "no place for"}));
  // RWKV-LM's layout: a .pth of time_state alone.
  const std::string pth = Path("state.pth");
  ASSERT_EQ(RunLinnet({"state", "merge", state, "-o", pth}).code, 0);
  EXPECT_EQ(Checkpoint::Open(pth)->format(), "pth");
  EXPECT_EQ(generated({"generate", q8, "--state-in", pth}), tuned);
}

TEST_F(TuneProgram, SamplesOfATunedStateAreWhatItWrites) {
  const std::string state = Tuned(Base(), "sampled",
                                  {"--tune", "state", "--lr", "0.1", "--chunk", "8", "--sample-every", "30",
                                   "--sample-prompt", "PACK", "--sample-tokens", "24", "--seed", "3"},
                                  0.2);
  const std::vector<StepRecord> log = ReadLog(Path("sampled") + "/log.jsonl");
  ASSERT_TRUE(log[29].sample && log.back().sample);
  EXPECT_NE(*log[29].sample, *log.back().sample);
  // The sample of step 59 has the seed 3 + 59.
  const Words generate{"generate", Base(), "-p", "PACK", "-n", "24", "--top-p", "0.9", "--seed", "62"};
  Words tuned = generate;
  tuned.insert(tuned.end(), {"--state-in", state});
  const std::string written = RunLinnet(tuned).out;
  EXPECT_NE(written.find(*log.back().sample), std::string::npos)
      << written << " is not " << *log.back().sample;
  EXPECT_EQ(RunLinnet(generate).out.find(*log.back().sample), std::string::npos);
}

TEST_F(TuneProgram, TruncatedStatesSayWhatTheyLearnFrom) {
  const Outcome outcome = RunLinnet(
      Command(Base(), "truncated", {"--tune", "state", "--chunk", "8", "--backprop", "truncated"}, "2"));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE((outcome.out + outcome.err).find("the first 8 tokens of each sample alone"), std::string::npos);
}

TEST_F(TuneProgram, ResumedIsNeverStopped) {
  for (const Words& kind :
       {Words{"--lora", "3"}, Words{"--lora", "3", "--pissa"}, Words{"--lora", "3", "--lora-dropout", "0.3"},
        Words{"--tune", "state"}, Words{"--tune", "state", "--chunk", "8", "--sample-every", "9"}}) {
    Words more = kind;
    more.insert(more.end(), {"--save-every", "10", "--lr", "1e-2"});
    const std::string name = "resume-" + std::to_string(kind.size()) + kind[0];
    ASSERT_EQ(RunLinnet(Command(Base(), name + "-straight", more, "24")).code, 0);
    ASSERT_EQ(RunLinnet(Command(Base(), name, more, "24")).code, 0);
    const fs::path folder = Path(name);
    const std::vector<CheckpointFiles> saved = RunFolder(folder).Checkpoints();
    ASSERT_EQ(saved.size(), 2u);
    for (const fs::path& file : {saved[1].weights, saved[1].trainer})
      fs::remove(file);  // as if killed before
    const Outcome resumed = RunLinnet({"train", "--resume", "--out", folder});
    ASSERT_EQ(resumed.code, 0) << resumed.err;
    EXPECT_EQ(ReadFile(folder / "model.safetensors"),
              ReadFile(Path(name + "-straight") + "/model.safetensors"));
    const auto one = ReadLog(folder / "log.jsonl"), other = ReadLog(Path(name + "-straight") + "/log.jsonl");
    ASSERT_EQ(one.size(), other.size());
    for (size_t i = 0; i < one.size(); ++i) EXPECT_EQ(one[i].loss, other[i].loss) << name << " step " << i;
  }
  // Beside another model it does not go on.
  EXPECT_TRUE(FailsWith(
      {"train", "--resume", "--out", Path("resume-2--lora"), "--init", Path("base.q8_0.safetensors")},
      {"base.q8_0.safetensors", "is not the model", "--init"}));
}

TEST_F(TuneProgram, FrozenParametersStayAsTheyAre) {
  for (const char* precision : {"fp32", "bf16"}) {
    const std::string out = std::string("frozen-") + precision;
    const std::string tuned =
        Tuned(Base(), out, {"--freeze", "emb,att.*", "--lr", "4e-3", "--precision", precision}, 0.3);
    const LoadedModel before = LoadModel(Base(), MatrixType::kF32),
                      after = LoadModel(tuned, MatrixType::kF32);
    for (size_t i = 0; i < before.params->parameters().size(); ++i) {
      const Parameter &a = before.params->parameters()[i], &b = after.params->parameters()[i];
      const bool frozen = a.name == "emb.weight" || a.name.find(".att.") != std::string::npos;
      double change = 0, largest = 0;
      for (Dim j = 0; j < a.tensor.size(); ++j) {
        change = std::max<double>(change, std::abs(a.tensor.data()[j] - b.tensor.data()[j]));
        largest = std::max<double>(largest, std::abs(a.tensor.data()[j]));
      }
      if (frozen) {  // but for the type in which a run with bf16 holds them
        EXPECT_LE(change, precision == std::string("bf16") ? largest / 256 : 0) << a.name;
      } else {
        EXPECT_GT(change, 0) << a.name;
      }
    }
  }
}

TEST_F(TuneProgram, MistakesAreNamed) {
  const auto fails = [&](const std::string& init, const Words& more, const Words& parts) {
    return FailsWith(Command(init, "refused", more), parts);
  };
  const std::string q8 = Path("base.q8_0.safetensors");
  EXPECT_TRUE(fails(q8, {}, {q8, "q8_0", "--lora", "--dtype bf16"}));
  EXPECT_TRUE(fails(Base(), {"--train", "att.kye"}, {"--train", "'att.kye'", "att.key"}));
  EXPECT_TRUE(
      fails(Base(), {"--lora", "4", "--lora-targets", "fnn.*"}, {"--lora-targets", "'fnn.*'", "ffn."}));
  EXPECT_TRUE(fails(Base(), {"--lora", "4", "--tune", "state"}, {"--lora", "--tune state"}));
  EXPECT_TRUE(fails(Base(), {"--lora", "4", "--freeze", "emb"}, {"--freeze", "--lora"}));
  EXPECT_TRUE(fails(Base(), {"--pissa"}, {"--pissa", "--lora"}));
  EXPECT_TRUE(fails(Base(), {"--lora-dropout", "0.1"}, {"--lora-dropout", "--lora"}));
  EXPECT_TRUE(
      fails(Base(), {"--lora", "4", "--pissa", "--lora-dropout", "0.1"}, {"--lora-dropout", "--pissa"}));
  EXPECT_TRUE(fails(Base(), {"--freeze", "*"}, {"--freeze", "nothing to train"}));
  EXPECT_TRUE(fails(Base(), {"--tune", "some"}, {"--tune", "'some'"}));
  EXPECT_TRUE(
      FailsWith({"train", "--data", Path("new"), "--out", Path("refused"), "--steps", "1", "--lora", "4"},
                {"--lora", "--init"}));
  EXPECT_FALSE(fs::exists(Path("refused")));
}

}  // namespace
}  // namespace linnet

// `linnet train` as its users start, kill, interrupt and resume it.
#include "cli/program.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "train/checkpointing.h"
#include "train/log.h"
#include "train/poison.h"
#include "train/refusal.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

/// A data file and the settings of a run that takes a second or two.
class TrainProgram : public testing::Test {
 protected:
  TrainProgram() {
    std::string text;
    Random random(1);
    for (int i = 0; i < 4000; ++i) text += "abcdefgh \n"[random.Below(10)];
    WriteFile(folder_ / "text", text);
  }

  std::string Path(const std::string& name) const { return folder_ / name; }

  Words Command(const std::string& out, const Words& more = {}) const {
    Words words{"train", "--data", Path("text"), "--out",       Path(out), "--layers",    "2",  "--width",
                "32",    "--ctx",  "16",         "--batch",     "2",       "--head-size", "16", "--lr",
                "1e-3",  "--seed", "5",          "--val-every", "10",      "--threads",   "1"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  /// Starts the program without waiting for it.
  static pid_t Start(const Words& arguments) {
    std::vector<char*> argv{const_cast<char*>(LINNET_PROGRAM)};
    for (const std::string& word : arguments) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    const pid_t child = fork();
    if (child == 0) {
      if (std::freopen("/dev/null", "w", stdout) == nullptr) _exit(126);
      execv(LINNET_PROGRAM, argv.data());
      _exit(127);
    }
    return child;
  }

  static int Wait(pid_t child) {
    int status = 0;
    waitpid(child, &status, 0);
    return status;
  }

  static size_t Lines(const fs::path& path) {
    std::ifstream file(path);
    return static_cast<size_t>(std::count(std::istreambuf_iterator<char>(file), {}, '\n'));
  }

  /// Waits until the log has `lines` lines. False if the program ends before.
  static bool WaitForLines(pid_t child, const fs::path& log, size_t lines) {
    while (Lines(log) < lines) {
      if (waitpid(child, nullptr, WNOHANG) != 0) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
  }

  static void ExpectSameLosses(const fs::path& a, const fs::path& b) {
    const std::vector<StepRecord> one = ReadLog(a / "log.jsonl"), other = ReadLog(b / "log.jsonl");
    ASSERT_EQ(one.size(), other.size());
    for (size_t i = 0; i < one.size(); ++i) {
      EXPECT_EQ(one[i].step, static_cast<int64_t>(i));
      EXPECT_EQ(other[i].step, static_cast<int64_t>(i));
      EXPECT_EQ(one[i].loss, other[i].loss) << "step " << i;
      EXPECT_EQ(one[i].val_loss, other[i].val_loss) << "step " << i;
      EXPECT_EQ(one[i].gradient_norm, other[i].gradient_norm) << "step " << i;
      EXPECT_EQ(one[i].lr, other[i].lr) << "step " << i;
    }
    EXPECT_EQ(ReadFile(a / "model.safetensors"), ReadFile(b / "model.safetensors"));
  }

  TemporaryFolder folder_;
};

TEST_F(TrainProgram, KilledAndResumedIsNeverKilled) {
  Random random(std::random_device{}());
  for (const char* precision : {"fp32", "bf16"}) {
    const std::string straight = std::string("straight-") + precision,
                      killed = std::string("killed-") + precision;
    const Words more{"--precision", precision, "--steps", "120", "--save-every", "7", "--accumulate", "2"};
    ASSERT_EQ(RunLinnet(Command(straight, more)).code, 0);

    std::string steps;
    Words command = Command(killed, more);
    size_t from = 8;  // a checkpoint exists
    for (int kill_count = 0; kill_count < 3; ++kill_count) {
      const size_t at = from + random.Below(25);
      steps += fmt::format(" {}", at);
      const pid_t child = Start(command);
      ASSERT_TRUE(WaitForLines(child, Path(killed) + "/log.jsonl", at)) << "killed at" << steps;
      kill(child, SIGKILL);
      ASSERT_TRUE(WIFSIGNALED(Wait(child)));
      command = {"train", "--resume", "--out", Path(killed)};
      from = Lines(Path(killed) + "/log.jsonl") + 1;
    }
    const Outcome last = RunLinnet(command);
    ASSERT_EQ(last.code, 0) << last.err;
    SCOPED_TRACE(std::string(precision) + ", killed after these steps:" + steps);
    ExpectSameLosses(Path(straight), Path(killed));
  }
}

TEST_F(TrainProgram, InterruptSavesAndSaysHowToGoOn) {
  const Words more{"--steps", "100000"};
  for (int signal : {SIGINT, SIGTERM}) {
    const std::string out = "run" + std::to_string(signal), log = Path(out) + "/log.jsonl";
    const pid_t child = Start(Command(out, more));
    ASSERT_TRUE(WaitForLines(child, log, 5));
    kill(child, signal);
    const int status = Wait(child);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 130);
    const std::vector<CheckpointFiles> saved = RunFolder(Path(out)).Checkpoints();
    ASSERT_EQ(saved.size(), 1u);
    EXPECT_EQ(static_cast<size_t>(saved[0].step), Lines(log));
    EXPECT_TRUE(fs::exists(Path(out) + "/loss.svg"));
  }
}

TEST_F(TrainProgram, WritesModelLogAndCurve) {
  const Outcome outcome = RunLinnet(Command("run", {"--tokens", "1000", "--plot"}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  EXPECT_EQ(outcome.out.find_first_of("\x1b\r"), std::string::npos) << "escape codes in a pipe";
  for (const char* part :
       {"step 1/32", "step 32/32", "bits/byte", "held out", "GEMM peak", "bits per byte over step"}) {
    EXPECT_NE(outcome.out.find(part), std::string::npos) << part << " is not in\n" << outcome.out;
  }
  const std::vector<StepRecord> log = ReadLog(Path("run") + "/log.jsonl");
  ASSERT_EQ(log.size(), 32u);
  EXPECT_TRUE(log[9].val_loss && log[31].val_loss);
  EXPECT_FALSE(log[10].val_loss);
  EXPECT_LT(log[31].loss, log[0].loss);
  EXPECT_TRUE(fs::is_symlink(Path("run") + "/model.safetensors"));
  const auto model = Checkpoint::Open(Path("run") + "/model.safetensors");
  EXPECT_EQ(model->metadata().at("architecture"), "rwkv7");
  EXPECT_EQ(model->metadata().at("tokenizer"), "bytes");
  EXPECT_EQ(model->metadata().at("step"), "32");
  const auto training = nlohmann::json::parse(model->metadata().at("training"));
  EXPECT_EQ(training["ctx"], 16);
  EXPECT_EQ(training["data"][0]["name"], "text");
  EXPECT_EQ(model->metadata().at("training").find(Path("")), std::string::npos) << "a path of this machine";
  EXPECT_EQ(nlohmann::json::parse(model->metadata().at("sizes"))["width"], 32);
  const std::string svg = ReadFile(Path("run") + "/loss.svg");
  EXPECT_TRUE(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

TEST_F(TrainProgram, StartsFromAModelsWeights) {
  ASSERT_EQ(RunLinnet(Command("first", {"--steps", "5"})).code, 0);
  const std::string model = Path("first") + "/model.safetensors";
  const Words command{"train",   "--data", Path("text"), "--ctx", "16",     "--batch", "2",
                      "--steps", "2",      "--threads",  "1",     "--init", model};
  Words good = command, bad = command;
  good.insert(good.end(), {"--out", Path("second")});
  const Outcome outcome = RunLinnet(good);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("2 layers of width 32"), std::string::npos) << outcome.out;
  bad.insert(bad.end(), {"--out", Path("third"), "--width", "64"});
  EXPECT_TRUE(FailsWith(bad, {"--width is 64", model, "32"}));
}

TEST_F(TrainProgram, MinutesEndARun) {
  const Outcome outcome = RunLinnet(Command("run", {"--minutes", "0.01"}));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const std::vector<StepRecord> log = ReadLog(Path("run") + "/log.jsonl");
  ASSERT_FALSE(log.empty());
  EXPECT_GE(log.back().seconds, 0.6);
  EXPECT_TRUE(log.back().val_loss);
}

TEST_F(TrainProgram, ResumingAnotherRunIsRefused) {
  ASSERT_EQ(RunLinnet(Command("run", {"--steps", "5"})).code, 0);
  const auto resume = [&](const Words& more) {
    Words words{"train", "--resume", "--out", Path("run")};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  const std::pair<Words, Words> cases[] = {
      {{"--ctx", "32"}, {"--ctx is 32", "has 16"}},
      {{"--batch", "3"}, {"--batch is 3", "has 2"}},
      {{"--width", "64"}, {"--width is 64", "has 32"}},
      {{"--arch", "rwkv6"}, {"--arch is \"rwkv6\"", "rwkv7"}},
      {{"--precision", "bf16"}, {"--precision is \"bf16\"", "fp32"}},
      {{"--seed", "6"}, {"--seed is 6", "has 5"}},
      {{"--steps", "9"}, {"--steps is 9", "has 5"}},
      {{"--lr", "0.1"}, {"--lr is 0.1", "has 0.001"}},
      {{"--warmup", "3"}, {"--warmup is 3", "has 10"}},
  };
  for (const auto& [flags, parts] : cases) EXPECT_TRUE(FailsWith(resume(flags), parts));

  WriteFile(folder_ / "other", std::string(4000, 'x'));
  EXPECT_TRUE(FailsWith(resume({"--data", Path("other")}), {"--data", "other", "learnt from", "text"}));
  WriteFile(folder_ / "text", std::string(5000, 'x'));
  EXPECT_TRUE(FailsWith(resume({}), {"--data", "5000", "4000"}));
}

TEST_F(TrainProgram, FoldersInUseAreRefused) {
  EXPECT_TRUE(FailsWith({"train", "--resume", "--out", Path("none")}, {Path("none"), "no such folder"}));
  fs::create_directory(Path("empty"));
  EXPECT_TRUE(
      FailsWith({"train", "--resume", "--out", Path("empty")}, {Path("empty"), "no checkpoint", "--resume"}));
  ASSERT_EQ(RunLinnet(Command("run", {"--steps", "2"})).code, 0);
  EXPECT_TRUE(FailsWith(Command("run", {"--steps", "2"}), {Path("run"), "--resume", "--out"}));
  const RunFolder locked(Path("run"));
  EXPECT_TRUE(FailsWith({"train", "--resume", "--out", Path("run")}, {Path("run"), "another run"}));
}

TEST_F(TrainProgram, BadInputIsRefusedBeforeAnythingIsMade) {
  const auto with = [&](const Words& more) { return Command("run", more); };
  EXPECT_TRUE(FailsWith(with({}), {"--steps, --tokens and --minutes"}));
  EXPECT_TRUE(FailsWith({"train", "--steps", "2", "--out", Path("run")}, {"--data"}));
  EXPECT_TRUE(FailsWith({"train", "--steps", "2", "--data", Path("text")}, {"--out"}));
  EXPECT_TRUE(FailsWith(with({"--steps", "2", "--eps", "-1"}), {"--eps"}));
  EXPECT_TRUE(FailsWith(with({"--steps", "2", "--config", Path("none")}), {Path("none")}));
  EXPECT_FALSE(fs::exists(Path("run")));
  EXPECT_TRUE(FailsWith({"train", "--steps", "2", "--data", Path("text"), "--out", Path("run"), "--ctx", "16",
                         "--width", "100"},
                        {"--width 100", "--head-size 64", "--width 128"}));
  EXPECT_TRUE(
      FailsWith({"train", "--steps", "2", "--data", Path("text"), "--out", Path("run"), "--ctx", "4000"},
                {Path("text"), "--ctx"}));
  EXPECT_TRUE(FailsWith({"train", "--steps", "2", "--data", Path("text"), "--out", Path("text")},
                        {Path("text"), "--out"}));
}

TEST_F(TrainProgram, AMovedFolderTakesItsLogAlong) {
  const pid_t child = Start(Command("run", {"--steps", "100000", "--log", Path("run") + "/log.jsonl"}));
  ASSERT_TRUE(WaitForLines(child, Path("run") + "/log.jsonl", 3));
  kill(child, SIGINT);
  Wait(child);
  const size_t before = Lines(Path("run") + "/log.jsonl");
  fs::rename(Path("run"), Path("moved"));
  const pid_t resumed = Start({"train", "--resume", "--out", Path("moved")});
  ASSERT_TRUE(WaitForLines(resumed, Path("moved") + "/log.jsonl", before + 3));
  kill(resumed, SIGINT);
  Wait(resumed);
  EXPECT_FALSE(fs::exists(Path("run")));
}

TEST_F(TrainProgram, SettingsComeFromAFile) {
  WriteFile(folder_ / "settings",
            "# a run\nctx = 16\nbatch = 2\nwidth = 32\nhead-size = 16\nlayers = 1\nsteps = 3\n"
            "betas = [0.8, 0.95]\nrecompute = true\nprecision = \"bf16\"\ndata = [\"" +
                Path("text") + "\"]\n");
  const Outcome outcome =
      RunLinnet({"train", "--config", Path("settings"), "--out", Path("run"), "--layers", "2"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto model = Checkpoint::Open(Path("run") + "/model.safetensors");
  const auto training = nlohmann::json::parse(model->metadata().at("training"));
  EXPECT_EQ(training["layers"], 2) << "the command line has the last word";
  EXPECT_EQ(training["ctx"], 16);
  EXPECT_EQ(training["betas"][0], 0.8);
  EXPECT_EQ(training["recompute"], true);
  EXPECT_EQ(training["precision"], "bf16");

  WriteFile(folder_ / "typo", "ctxt = 16\n");
  EXPECT_TRUE(
      FailsWith(Command("other", {"--steps", "2", "--config", Path("typo")}), {Path("typo"), "'ctxt'"}));
  WriteFile(folder_ / "word", "seed = many\n");
  EXPECT_TRUE(FailsWith(
      {"train", "--data", Path("text"), "--out", Path("other"), "--steps", "2", "--config", Path("word")},
      {Path("word"), "seed"}));
}

TEST_F(TrainProgram, LossesThatAreNoNumbersEndTheRun) {
  ASSERT_EQ(RunLinnet(Command("run", {"--steps", "2"})).code, 0);
  const std::string model = Path("run") + "/checkpoint-2.safetensors";
  Poison(model);
  const Outcome outcome = RunLinnet({"train", "--data", Path("text"), "--ctx", "16", "--steps", "50",
                                     "--init", model, "--out", Path("bad")});
  EXPECT_EQ(outcome.code, 1);
  for (const char* part : {"5 steps in a row", "no checkpoint was saved yet", "--lr"}) {
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
  }
  EXPECT_NE(outcome.out.find("step 0 was skipped"), std::string::npos) << outcome.out;
  EXPECT_FALSE(fs::exists(Path("bad") + "/model.safetensors"));
  const std::vector<StepRecord> log = ReadLog(Path("bad") + "/log.jsonl");
  ASSERT_EQ(log.size(), 5u);
  for (const StepRecord& record : log) EXPECT_TRUE(record.skipped);

  // With a checkpoint whose weights are bad it returns to that, and gives up naming it.
  const pid_t child = Start(Command("long", {"--steps", "100000"}));
  ASSERT_TRUE(WaitForLines(child, Path("long") + "/log.jsonl", 3));
  kill(child, SIGINT);
  Wait(child);
  const std::string last = RunFolder(Path("long")).Checkpoints().back().weights;
  Poison(last);
  const Outcome resumed = RunLinnet({"train", "--resume", "--out", Path("long")});
  EXPECT_EQ(resumed.code, 1);
  EXPECT_NE(resumed.out.find("returning to the checkpoint of step"), std::string::npos) << resumed.out;
  EXPECT_NE(resumed.err.find("the last good checkpoint is " + last), std::string::npos) << resumed.err;
}

}  // namespace
}  // namespace linnet

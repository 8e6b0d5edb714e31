// What a run tells those who watch it: TensorBoard's events, samples, the loss on other files.
#include <gtest/gtest.h>
#include <pty.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "formats/event_reader.h"
#include "train/log.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

class Watching : public testing::Test {
 protected:
  Watching() {
    std::string text;
    Random random(1);
    for (int i = 0; i < 4000; ++i) text += "abcdefgh \n"[random.Below(10)];
    WriteFile(folder_ / "text", text);
    std::ranges::reverse(text);
    WriteFile(folder_ / "other", text.substr(0, 900));
  }

  std::string Path(const std::string& name) const { return folder_ / name; }

  Words Command(const std::string& out, const Words& more = {}) const {
    Words words{"train", "--data", Path("text"), "--out",       Path(out), "--layers",    "1",  "--width",
                "32",    "--ctx",  "16",         "--batch",     "2",       "--head-size", "16", "--steps",
                "40",    "--seed", "5",          "--val-every", "10",      "--threads",   "1"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  Words Watched(const std::string& out) const {
    return Command(
        out, {"--tensorboard", Path(out + "-events"), "--eval-data", Path("other"), "--sample-every", "15",
              "--sample-tokens", "12", "--sample-prompt", "ab", "--save-every", "7"});
  }

  /// All events of a folder, file after file.
  static std::vector<ReadEvent> EventsIn(const fs::path& folder) {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
    std::ranges::sort(files);
    std::vector<ReadEvent> all;
    for (const fs::path& file : files) {
      const std::vector<ReadEvent> events = ReadEvents(file);
      all.insert(all.end(), events.begin(), events.end());
    }
    return all;
  }

  static void ExpectEventsOfLog(const fs::path& events, const fs::path& log) {
    const std::vector<StepRecord> records = ReadLog(log);
    size_t at = 0;
    for (const ReadEvent& event : EventsIn(events)) {
      if (event.scalars.empty()) continue;  // the version, the start of a session
      ASSERT_LT(at, records.size());
      const StepRecord& record = records[at++];
      EXPECT_EQ(event.step, record.step);
      EXPECT_EQ(event.scalars.at("loss/training"), static_cast<float>(record.loss));
      EXPECT_EQ(event.scalars.at("bits_per_byte/training"), static_cast<float>(BitsPerByte(record.loss)));
      EXPECT_EQ(event.scalars.at("learning_rate"), static_cast<float>(record.lr));
      EXPECT_EQ(event.scalars.at("gradient_norm"), static_cast<float>(record.gradient_norm));
      EXPECT_GT(event.scalars.at("tokens_per_second"), 0);
      EXPECT_EQ(event.scalars.contains("loss/held_out"), record.val_loss.has_value());
      EXPECT_EQ(event.scalars.contains("loss/other_data"), record.eval_loss.has_value());
      EXPECT_EQ(event.texts.contains("sample"), record.sample.has_value());
    }
    EXPECT_EQ(at, records.size());
  }

  TemporaryFolder folder_;
};

TEST_F(Watching, EventsAreTheLogs) {
  const Outcome outcome = RunLinnet(Watched("run"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("sample    "), std::string::npos) << outcome.out;
  ExpectEventsOfLog(Path("run-events"), Path("run") + "/log.jsonl");
  const std::vector<StepRecord> log = ReadLog(Path("run") + "/log.jsonl");
  EXPECT_TRUE(log[9].eval_loss && log[39].eval_loss && log[14].sample && log[39].sample);
  EXPECT_FALSE(log[10].eval_loss || log[10].sample);
  EXPECT_NE(log[39].eval_loss, log[39].val_loss);
}

TEST_F(Watching, ChangesNothingThatIsLearnt) {
  ASSERT_EQ(RunLinnet(Watched("watched")).code, 0);
  ASSERT_EQ(RunLinnet(Command("alone", {"--save-every", "7"})).code, 0);
  const auto weights = [&](const std::string& run) { return ReadFile(Path(run) + "/model.safetensors"); };
  EXPECT_TRUE(weights("watched") == weights("alone"));
}

TEST_F(Watching, KilledAndResumedItHasEachStepOnce) {
  const std::string log = Path("run") + "/log.jsonl";
  ASSERT_EQ(RunLinnet(Watched("straight")).code, 0);
  // As a kill leaves it: a checkpoint of step 35 and, beyond it, steps in the log and in torn events.
  ASSERT_EQ(RunLinnet(Watched("run")).code, 0);
  for (const char* part : {"/checkpoint-40.safetensors", "/checkpoint-40.trainer.safetensors"}) {
    ASSERT_TRUE(fs::remove(Path("run") + part));
  }
  const fs::path events = fs::directory_iterator(Path("run-events"))->path();
  const std::string whole = ReadFile(events);
  WriteFile(events, whole.substr(0, whole.size() - 9));
  const Outcome resumed = RunLinnet({"train", "--resume", "--out", Path("run")});
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  ExpectEventsOfLog(Path("run-events"), log);
  EXPECT_EQ(std::distance(fs::directory_iterator(Path("run-events")), fs::directory_iterator()), 2);
  const std::vector<StepRecord> one = ReadLog(Path("straight") + "/log.jsonl"), other = ReadLog(log);
  ASSERT_EQ(one.size(), other.size());
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(one[i].loss, other[i].loss) << i;
    EXPECT_EQ(one[i].eval_loss, other[i].eval_loss) << i;
    EXPECT_EQ(one[i].sample, other[i].sample) << i;
  }
  EXPECT_TRUE(ReadFile(Path("straight") + "/model.safetensors") ==
              ReadFile(Path("run") + "/model.safetensors"));
}

TEST_F(Watching, EventsOfAnotherRunAreLeftAlone) {
  ASSERT_EQ(RunLinnet(Watched("run")).code, 0);
  Words other = Command("other-run", {"--tensorboard", Path("run-events")});
  const Outcome outcome = RunLinnet(other);
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.err.find("events of another run"), std::string::npos) << outcome.err;
  ExpectEventsOfLog(Path("run-events"), Path("run") + "/log.jsonl");
}

TEST_F(Watching, TensorBoardItselfReadsThem) {
  if (std::system("python3 -c 'import tensorboard' 2>/dev/null") != 0) {
    GTEST_SKIP() << "python3 has no tensorboard here";
  }
  ASSERT_EQ(RunLinnet(Watched("run")).code, 0);
  const std::string program =
      "import sys\n"
      "from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n"
      "events = EventAccumulator(sys.argv[1]).Reload()\n"
      "losses = events.Scalars('loss/training')\n"
      "assert [e.step for e in losses] == list(range(40)), losses\n"
      "assert len(events.Tensors('sample')) == 3\n";
  WriteFile(folder_ / "read.py", program);
  EXPECT_EQ(std::system(("python3 " + Path("read.py") + " " + Path("run-events")).c_str()), 0);
}

TEST_F(Watching, TheOtherFilesMustBeLongEnough) {
  WriteFile(folder_ / "short", "abc");
  const Outcome outcome = RunLinnet(Command("run", {"--eval-data", Path("short")}));
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.err.find("short: has 3 bytes"), std::string::npos) << outcome.err;
}

TEST_F(Watching, ADryRunPrintsAndWritesNothing) {
  Words command = Command("run");
  command.push_back("--dry-run");
  const Outcome table = RunLinnet(command);
  EXPECT_EQ(table.code, 0) << table.err;
  for (const char* part : {"parameters", "activations", "at once", "tokens/s", "40 steps"}) {
    EXPECT_NE(table.out.find(part), std::string::npos) << part << " is not in\n" << table.out;
  }
  command.push_back("--json");
  const auto plan = nlohmann::json::parse(RunLinnet(command).out);
  EXPECT_EQ(plan["tokens_per_step"], 32);
  EXPECT_EQ(plan["steps"], 40);
  EXPECT_EQ(plan["memory"]["weights"], 4 * plan["parameters"].get<int64_t>());
  EXPECT_GT(plan["run_seconds"], 0);
  EXPECT_FALSE(fs::exists(Path("run")));
}

TEST_F(Watching, ANarrowTerminalGetsLinesThatFit) {
  winsize size{24, 30, 0, 0};
  int terminal = -1;
  const Words command = Command("run");
  std::vector<char*> argv{const_cast<char*>(LINNET_PROGRAM)};
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t child = forkpty(&terminal, nullptr, nullptr, &size);
  if (child == 0) {
    setenv("TERM", "xterm", 1);
    execv(LINNET_PROGRAM, argv.data());
    _exit(127);
  }
  std::string shown;
  char buffer[4096];
  for (ssize_t n = 0; (n = read(terminal, buffer, sizeof buffer)) > 0;) shown.append(buffer, n);
  close(terminal);
  waitpid(child, nullptr, 0);
  size_t lines = 0;
  for (size_t at = shown.find("\rstep "); at != std::string::npos; at = shown.find("\rstep ", at + 1)) {
    EXPECT_LT(shown.find("\x1b[K", at) - at - 1, 30u) << shown.substr(at + 1, 60);
    ++lines;
  }
  EXPECT_GE(lines, 2u) << shown;
}

TEST_F(Watching, APipeGetsALineNowAndThen) {
  const Outcome outcome = RunLinnet(Command("run"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  size_t lines = 0;
  for (size_t at = outcome.out.find("step "); at != std::string::npos;
       at = outcome.out.find("\nstep ", at + 1)) {
    ++lines;
  }
  EXPECT_LE(lines, 6u) << outcome.out;  // of 40: the first, the last, one each five seconds
}

}  // namespace
}  // namespace linnet

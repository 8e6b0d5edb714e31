// Whole runs, in this process: what goes wrong in between, and that resuming does not show in the result.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "base/parallel.h"
#include "cli/program.h"
#include "train/checkpointing.h"
#include "train/refusal.h"
#include "train/trainer.h"
#include "train/weights.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

/// Lets a test do something after each step, such as spoiling the weights, and keeps what it is told.
class Watcher : public TrainObserver {
 public:
  std::function<void(const StepRecord&, const TrainableModel&)> after_step = [](auto&, auto&) {};
  int64_t stop_after = -1;
  std::vector<std::string> messages;

  void Started(const RunFacts& run) override { weights_ = run.weights; }
  void StepDone(const StepRecord& record, const Progress&) override {
    last_step_ = record.step;
    after_step(record, *weights_);
  }
  void Message(const std::string& text) override { messages.push_back(text); }
  bool StopRequested() override { return last_step_ == stop_after; }

  bool WasTold(const std::string& part) const {
    return std::ranges::any_of(messages, [&](const std::string& m) { return m.find(part) != m.npos; });
  }

 private:
  const TrainableModel* weights_ = nullptr;
  int64_t last_step_ = -1;
};

/// Multiplies all weights of the head.
void ScaleHead(const TrainableModel& weights, float factor) {
  const Tensor& head = weights.model.model->head();
  for (Dim i = 0; i < head.size(); ++i) head.data()[i] *= factor;
}

class RunTest : public testing::Test {
 protected:
  RunTest() {
    std::string text;
    Random random(1);
    for (int i = 0; i < 6000; ++i) text += "abcdefgh \n"[random.Below(10)];
    WriteFile(folder_ / "text", text);
  }

  TrainOptions Options(const std::string& out, int64_t steps = 30) const {
    TrainOptions o;
    o.data = {folder_ / "text"};
    o.out = folder_ / out;
    o.layers = 1, o.width = 32, o.head_size = 16, o.ctx = 16, o.batch = 2, o.threads = 1;
    o.steps = steps;
    o.save_every = "5";
    o.val_every = 10;
    return o;
  }

  static TrainResult Resume(const std::string& out, TrainObserver& observer) {
    TrainOptions o;
    o.out = out;
    o.resume = true;
    o.given = {"--out", "--resume"};
    return Train(o, observer);
  }

  static std::vector<double> Losses(const fs::path& out) {
    std::vector<double> losses;
    for (const StepRecord& record : ReadLog(out / "log.jsonl")) losses.push_back(record.loss);
    return losses;
  }

  static void ExpectSame(const fs::path& a, const fs::path& b) {
    EXPECT_EQ(Losses(a), Losses(b));
    for (const char* name : {"model.safetensors", "model-ema.safetensors"}) {
      ASSERT_EQ(fs::exists(a / name), fs::exists(b / name)) << name;
      if (!fs::exists(a / name)) continue;
      EXPECT_EQ(ReadFile(a / name), ReadFile(b / name)) << name;
    }
  }

  TemporaryFolder folder_;
};

TEST_F(RunTest, StoppedAndResumedIsNeverStopped) {
  for (const char* precision : {"fp32", "bf16"}) {
    const auto with = [&](const std::string& out) {
      TrainOptions o = Options(precision + out);
      o.precision = precision;
      o.ema = 0.9;
      o.dropout = 0.1;
      o.accumulate = 2;
      o.recompute = true;
      o.schedule = "wsd";
      return o;
    };
    Watcher straight, stopped;
    stopped.stop_after = 13;
    const TrainOptions a = with("-straight"), b = with("-stopped");
    Train(a, straight);
    EXPECT_TRUE(Train(b, stopped).interrupted);
    stopped.stop_after = 22;
    EXPECT_TRUE(Resume(b.out, stopped).interrupted);
    EXPECT_FALSE(Resume(b.out, stopped).interrupted);
    EXPECT_EQ(Losses(a.out).size(), 30u);
    ExpectSame(a.out, b.out);
    EXPECT_EQ(stopped.messages, std::vector<std::string>{});
  }
}

TEST_F(RunTest, AveragedWeightsAreMeasuredAndAModelOfTheirOwn) {
  TrainOptions o = Options("run");
  o.ema = 0.9;
  Watcher watcher;
  Train(o, watcher);
  const std::vector<StepRecord> log = ReadLog(fs::path(o.out) / "log.jsonl");
  ASSERT_TRUE(log[9].ema_val_loss && log[29].ema_val_loss);
  EXPECT_NE(*log[9].ema_val_loss, *log[9].val_loss);
  EXPECT_FALSE(log[8].ema_val_loss);
  const auto model = Checkpoint::Open(fs::path(o.out) / "model.safetensors"),
             average = Checkpoint::Open(fs::path(o.out) / "model-ema.safetensors");
  EXPECT_EQ(model->entries().size(), average->entries().size());
  EXPECT_NE(ReadFile(model->path()), ReadFile(average->path()));
  EXPECT_EQ(LoadModel(average->path()).architecture->name, "rwkv7");
  // Training itself does not notice.
  TrainOptions without = Options("without");
  Train(without, watcher);
  EXPECT_EQ(Losses(o.out), Losses(without.out));
}

TEST_F(RunTest, DropoutChangesTheLossOfTrainingAlone) {
  TrainOptions with = Options("with", 1), without = Options("without", 1);
  with.dropout = 0.2;
  with.lr = without.lr = 1e-9;  // the weights stay as they are
  Watcher watcher;
  const TrainResult a = Train(with, watcher), b = Train(without, watcher);
  EXPECT_NE(Losses(with.out), Losses(without.out));
  EXPECT_NEAR(*a.val_loss, *b.val_loss, 1e-5) << "no dropout where the loss is measured";
}

TEST_F(RunTest, ReturnsToTheLastCheckpointAndGoesOnWithOtherData) {
  const auto spoil_once = [](Watcher& watcher, float factor) {
    watcher.after_step = [=, done = false](const StepRecord& record, const TrainableModel& weights) mutable {
      if (record.step == 12 && !done) done = true, ScaleHead(weights, factor);
    };
  };
  const TrainOptions sound = Options("sound"), a = Options("a"), b = Options("b");
  Watcher undisturbed, straight, stopped;
  Train(sound, undisturbed);
  spoil_once(straight, NAN);
  Train(a, straight);
  EXPECT_TRUE(straight.WasTold("step 13 was skipped: the loss is not a finite number"));
  EXPECT_TRUE(straight.WasTold("5 steps in a row were skipped: returning to the checkpoint of step 10"));
  const std::vector<double> losses = Losses(a.out), others = Losses(sound.out);
  ASSERT_EQ(losses.size(), 30u) << "each step once, whatever was done twice";
  for (size_t i = 0; i < 30; ++i) {
    EXPECT_TRUE(std::isfinite(losses[i]));
    EXPECT_EQ(losses[i] == others[i], i < 10) << "step " << i;
  }
  EXPECT_NE(ReadFile(fs::path(a.out) / "log.jsonl").find(R"({"step":10,"event":"return","from":18)"),
            std::string::npos);
  // It resumes to the bit, too, be it stopped in the middle of the trouble or after it.
  spoil_once(stopped, NAN);
  stopped.stop_after = 22;
  EXPECT_TRUE(Train(b, stopped).interrupted);
  Resume(b.out, stopped);
  ExpectSame(a.out, b.out);
}

TEST_F(RunTest, ALossSpikeIsSkippedAndAfterSeveralTheRunReturns) {
  TrainOptions o = Options("run", 80);
  o.save_every = "20";
  Watcher watcher;
  bool done = false;
  watcher.after_step = [&](const StepRecord& record, const TrainableModel& weights) {
    if (record.step != 70 || done) return;
    done = true;
    ScaleHead(weights, 1000);
  };
  Train(o, watcher);
  EXPECT_TRUE(watcher.WasTold("step 71 was skipped: the loss"));
  EXPECT_TRUE(watcher.WasTold("(--spike 10)"));
  EXPECT_TRUE(watcher.WasTold("returning to the checkpoint of step 60"));
  EXPECT_EQ(Losses(o.out).size(), 80u);
  for (double loss : Losses(o.out)) EXPECT_LT(loss, 8);
}

TEST_F(RunTest, ARunThatFailsAgainAndAgainGivesUp) {
  const TrainOptions o = Options("run");
  Watcher watcher;
  int spoiled = 0;
  watcher.after_step = [&](const StepRecord& record, const TrainableModel& weights) {
    if (record.step == 12) ++spoiled, ScaleHead(weights, NAN);
  };
  EXPECT_TRUE(Refused([&] { Train(o, watcher); },
                      {"5 steps in a row were skipped", "returned to a checkpoint 3 times",
                       "the last good checkpoint is", "--lr", "--spike 0"}));
  EXPECT_EQ(spoiled, 4);
  EXPECT_TRUE(watcher.WasTold("returning to the checkpoint of step 10"));
  EXPECT_TRUE(watcher.WasTold("returning to the checkpoint of step 5")) << "further back the second time";
  // What is left is whole.
  const std::vector<CheckpointFiles> left = RunFolder(o.out).Checkpoints();
  ASSERT_FALSE(left.empty());
  EXPECT_NO_THROW(LoadModel(left.back().weights));
}

TEST_F(RunTest, TheBestModelIsKept) {
  TrainOptions o = Options("run", 40);
  Watcher watcher;
  watcher.after_step = [](const StepRecord& record, const TrainableModel& weights) {
    if (record.step == 15) ScaleHead(weights, 1.0f + 20);  // from here on it is worse
  };
  o.spike = 0;
  o.lr = 1e-4;
  Train(o, watcher);
  const auto best = Checkpoint::Open(fs::path(o.out) / "model-best.safetensors");
  EXPECT_EQ(best->metadata().at("step"), "15");
  EXPECT_EQ(RunFolder(o.out).Checkpoints().size(), 2u);
}

TEST_F(RunTest, AnotherNumberOfThreadsIsNamed) {
  if (PhysicalCores() < 2) GTEST_SKIP() << "there is one core, so never a second thread";
  Watcher watcher;
  watcher.stop_after = 3;
  const TrainOptions o = Options("run", 6);
  Train(o, watcher);
  TrainOptions resumed;
  resumed.out = o.out;
  resumed.resume = true;
  resumed.threads = 2;
  resumed.given = {"--out", "--resume", "--threads"};
  Train(resumed, watcher);
  EXPECT_TRUE(watcher.WasTold("had 1 threads and now has 2"));
}

TEST_F(RunTest, DataOfTheSameNameAndLengthButOtherContentAreRefused) {
  Watcher watcher;
  watcher.stop_after = 3;
  const TrainOptions o = Options("run");
  Train(o, watcher);
  std::string text = ReadFile(folder_ / "text");
  text.back() = '!';
  WriteFile(folder_ / "text", text);
  EXPECT_TRUE(Refused([&] { Resume(o.out, watcher); }, {"--data", "text", "content has changed", "--out"}));
}

}  // namespace
}  // namespace linnet

#include "lab/score.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/check.h"
#include "infer/tiny_model.h"
#include "lab/sizing.h"
#include "lab/task_data.h"

namespace linnet::lab {
namespace {

/// Sequences of given targets.
class Given : public Task {
 public:
  explicit Given(Quality quality) : quality_(quality) {}
  int64_t vocab() const override { return 256; }
  int64_t length() const override { return 4; }
  Quality quality() const override { return quality_; }
  int64_t held_out() const override { return 3; }
  bool IsAnswer(int target) const override { return target > 0; }
  Example Draw(Part, uint64_t, int64_t index) const override {
    Example e;
    for (int i = 0; i < 4; ++i) e.Append(static_cast<int>(10 * index + i), i == 1 ? -1 : i % 2 * 7);
    return e;
  }

 private:
  Quality quality_;
};

/// Logits of a row of a text, by reading it alone.
std::vector<double> Probabilities(const LoadedModel& model, const std::vector<int>& tokens) {
  Batch batch;
  batch.Append(tokens, 0);
  batch.wanted = {static_cast<int>(tokens.size()) - 1};
  const Tensor logits = model.model->Forward(batch, model.NewState(1));
  std::vector<double> p;
  double sum = 0;
  for (Dim i = 0; i < 256; ++i) sum += p.emplace_back(std::exp(static_cast<double>(logits.data()[i])));
  for (double& x : p) x /= sum;
  return p;
}

TEST(Score, IsWhatCountingGives) {
  const LoadedModel model = TinyModel();
  const Given task(Quality::kSquaredError);
  const Score score = Judge(model, task, HeldOutSamples(task, Part::kTest, 3, 2));
  double loss = 0, squares = 0;
  int right = 0, whole = 0;
  for (int s = 0; s < 3; ++s) {
    const Example e = task.Draw(Part::kTest, 0, s);
    bool all = true;
    for (int t : {0, 2, 3}) {
      const auto p = Probabilities(model, {e.tokens.begin(), e.tokens.begin() + t + 1});
      loss -= std::log(p[e.targets[t]]) / 9;
      if (e.targets[t] == 0) continue;  // no answer
      const bool hit = std::max_element(p.begin(), p.end()) - p.begin() == e.targets[t];
      right += hit;
      all = all && hit;
      double mean = 0;
      for (int i = 0; i < 256; ++i) mean += p[i] * i;
      squares += (mean - e.targets[t]) * (mean - e.targets[t]) / 3;
    }
    whole += all;
  }
  EXPECT_EQ(score.answers, 3);
  EXPECT_EQ(score.sequences, 3);
  EXPECT_NEAR(score.loss, loss, 1e-5);
  EXPECT_NEAR(score.squared_error, squares, 1e-3 * squares);
  EXPECT_NEAR(score.accuracy, right / 3.0, 1e-12);
  EXPECT_NEAR(score.sequence_accuracy, whole / 3.0, 1e-12);
  EXPECT_EQ(score.quality(Quality::kSquaredError), score.squared_error);
  EXPECT_NEAR(score.quality(Quality::kBitsPerByte), loss / std::log(2.0), 1e-5);
}

TEST(Score, EqualLogitsAreNotRight) {
  const Architecture& architecture = FindArchitecture("rwkv4");
  const LoadedModel model =
      NewModel(architecture, architecture.complete_sizes({{"layers", 1}, {"width", 16}, {"vocab", 256}}), 1);
  const Tensor& head = model.model->head();
  std::fill_n(head.data(), head.size(), 0.0f);
  const Given task(Quality::kAccuracy);
  EXPECT_EQ(Judge(model, task, HeldOutSamples(task, Part::kTest, 3, 3)).accuracy, 0);
}

TEST(Score, RunningIsTheSameInChunksAndSteps) {
  const Running running = MeasureRunning(TinyModel(), {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  EXPECT_LT(running.parallel_gap, 1e-4);
  EXPECT_GT(running.tokens_per_s, 0);
  // Two layers, each two vectors of 32 and two matrices of 16 x 16.
  EXPECT_EQ(running.state_bytes, 2 * (2 * 32 + 2 * 16 * 16) * 4);
}

TEST(Sizing, AllArchitecturesMeetTheirParameters) {
  for (const Architecture& architecture : Architectures()) {
    if (!architecture.untrainable.empty()) continue;
    for (int64_t wanted : {60'000, 350'000}) {
      const bool embeds_deeply = architecture.name == "rwkv7a" || architecture.name == "rwkv7b";
      if (embeds_deeply && wanted < 100'000) continue;
      const Contestant contestant = ParseContestant(architecture.name);
      const SizedModel model = SizeToFit(contestant, 2, 64, 64, wanted);
      EXPECT_NEAR(static_cast<double>(model.parameters), static_cast<double>(wanted), 0.05 * wanted)
          << architecture.name;
      EXPECT_EQ(model.sizes.at("layers"), 2);
      EXPECT_EQ(NewModel(architecture, model.sizes, 1).params->count(), model.parameters);
    }
  }
}

TEST(Sizing, ChosenSizesStay) {
  const Contestant contestant = ParseContestant("rwkv7:layers=1:head_size=16");
  const SizedModel model = SizeToFit(contestant, 3, 64, 64, 100'000);
  EXPECT_EQ(model.sizes.at("layers"), 1);
  EXPECT_EQ(model.sizes.at("head_size"), 16);
  EXPECT_EQ(SizeToFit(ParseContestant("rwkv4:width=48"), 2, 64, 64, 0).sizes.at("width"), 48);
}

TEST(Sizing, ImpossibleOnesAreRefused) {
  EXPECT_EQ(ParseContestant("lru:rung=0").chosen.at("rung"), 0);  // a tanh RNN
  EXPECT_THROW(ParseContestant("rwkv9"), Error);
  EXPECT_THROW(ParseContestant("rwkv8"), Error);  // runs, but cannot be trained
  EXPECT_THROW(ParseContestant("rwkv4:layers"), Error);
  EXPECT_THROW(ParseContestant("rwkv4:layers=-1"), Error);
  EXPECT_THROW(SizeToFit(ParseContestant("rwkv4:layers=0"), 2, 64, 64, 10'000), Error);
  EXPECT_THROW(ParseContestant("rwkv4:../x=1"), Error);
  EXPECT_THROW(ParseContestant("rwkv4:vocab=9"), Error);
  EXPECT_THROW(SizeToFit(ParseContestant("rwkv4"), 2, 256, 64, 1000), Error);  // too few for any width
  EXPECT_THROW(SizeToFit(ParseContestant("rwkv4"), 2, 256, 64, 0), Error);     // no width
  EXPECT_THROW(SizeToFit(ParseContestant("rwkv4:head_size=8"), 2, 64, 64, 60'000), Error);  // has no heads
  EXPECT_THROW(SizeToFit(ParseContestant("rwkv7b:context=32"), 2, 64, 64, 400'000),
               Error);  // sees fewer tokens
}

}  // namespace
}  // namespace linnet::lab

#include "train/options.h"

#include <gtest/gtest.h>

#include "train/refusal.h"

namespace linnet {
namespace {

TrainOptions Good() {
  TrainOptions options;
  options.data = {"text"};
  options.out = "run";
  options.steps = 10;
  return options;
}

template <class Change>
testing::AssertionResult RefusedAfter(const Change& change, const std::vector<std::string>& parts) {
  TrainOptions options = Good();
  change(options);
  return Refused([&] { CheckOptions(options); }, parts);
}

TEST(Options, DefaultsAreAccepted) { EXPECT_NO_THROW(CheckOptions(Good())); }

TEST(Options, NumbersHaveRanges) {
  EXPECT_TRUE(RefusedAfter([](auto& o) { o.ctx = 0; }, {"--ctx", "between 1 and", "is 0"}));
  EXPECT_TRUE(RefusedAfter([](auto& o) { o.batch = -2; }, {"--batch"}));
  EXPECT_TRUE(RefusedAfter([](auto& o) { o.lr = 7; }, {"--lr", "between 0 and 1"}));
  EXPECT_TRUE(RefusedAfter([](auto& o) { o.lr = 0; }, {"--lr must be above 0"}));
  EXPECT_TRUE(RefusedAfter([](auto& o) { o.betas = {0.9, 1}; }, {"--betas"}));
  EXPECT_TRUE(RefusedAfter([](auto& o) { o.chunk = -1; }, {"--chunk"}));
  EXPECT_TRUE(RefusedAfter([](auto& o) { o.backprop = "none"; }, {"--backprop", "exact", "'none'"}));
  EXPECT_TRUE(RefusedAfter([](auto& o) { o.backprop = "truncated"; }, {"--backprop", "--chunk N"}));
  EXPECT_TRUE(RefusedAfter([](auto& o) { o.val_fraction = 0.95; }, {"--val-fraction"}));
  EXPECT_TRUE(RefusedAfter([](auto& o) { o.threads = -1; }, {"--threads"}));
  EXPECT_TRUE(RefusedAfter([](auto& o) { o.layers = 5000; }, {"--layers"}));
  // 0 layers are the default, but not if somebody asked for them.
  EXPECT_TRUE(RefusedAfter([](auto& o) { o.given = {"--layers"}; }, {"--layers"}));
  EXPECT_TRUE(RefusedAfter([](auto& o) { o.ctx = 1 << 24, o.batch = 65536; }, {"--ctx", "--batch", "2^31"}));
}

TEST(Options, TheLengthIsGivenOnce) {
  EXPECT_TRUE(RefusedAfter([](auto& o) { o.steps = 0; }, {"--steps, --tokens and --minutes", "missing"}));
  EXPECT_TRUE(RefusedAfter([](auto& o) { o.minutes = 1; }, {"--steps, --tokens and --minutes", "twice"}));
}

TEST(Options, WordsAreKnown) {
  EXPECT_TRUE(RefusedAfter([](auto& o) { o.precision = "fp8"; }, {"--precision", "fp8"}));
  EXPECT_TRUE(RefusedAfter([](auto& o) { o.pack = "boxes"; }, {"--pack", "boxes"}));
  EXPECT_TRUE(RefusedAfter([](auto& o) { o.data.clear(); }, {"--data"}));
  EXPECT_TRUE(RefusedAfter([](auto& o) { o.out.clear(); }, {"--out"}));
}

TEST(Options, SaveIntervals) {
  EXPECT_EQ(ParseSaveInterval("500").steps, 500);
  EXPECT_EQ(ParseSaveInterval("500").seconds, 0);
  EXPECT_EQ(ParseSaveInterval("1.5m").seconds, 90);
  EXPECT_EQ(ParseSaveInterval("0").steps, 0);
  for (const char* text : {"", "m", "often", "5h", "1.5", "-3", "1e99", "nan"}) {
    EXPECT_TRUE(Refused([&] { ParseSaveInterval(text); }, {"--save-every"})) << text;
  }
}

TEST(Options, AResumedRunKeepsItsSettings) {
  TrainOptions saved = Good();
  saved.ctx = 64;
  saved.lr = 1.0 / 3000;
  saved.betas = {0.8, 0.95};
  saved.val_every = 7;
  TrainOptions asked;
  asked.out = "elsewhere";
  asked.val_every = 9;
  asked.given = {"--out", "--val-every"};
  const TrainOptions options = AdoptSettings(asked, SettingsToJson(saved), "checkpoint");
  EXPECT_EQ(options.ctx, 64);
  EXPECT_EQ(options.lr, saved.lr);
  EXPECT_EQ(options.betas, saved.betas);
  EXPECT_EQ(options.steps, 10);
  EXPECT_EQ(options.out, "elsewhere");
  EXPECT_EQ(options.val_every, 9);
}

TEST(Options, AResumedRunRefusesOtherNumbers) {
  const std::string saved = SettingsToJson(Good());
  TrainOptions asked;
  asked.ctx = 64;
  asked.given = {"--ctx"};
  EXPECT_TRUE(Refused([&] { AdoptSettings(asked, saved, "the checkpoint"); },
                      {"--ctx is 64", "has 256", "the checkpoint", "--out"}));
  asked.ctx = 256;
  EXPECT_NO_THROW(AdoptSettings(asked, saved, "the checkpoint"));
  EXPECT_TRUE(
      Refused([&] { AdoptSettings(asked, "{", "the checkpoint"); }, {"the checkpoint", "cannot be read"}));
  for (const char* ctx : {"{\"ctx\": \"x\"}", "{\"ctx\": 1e30}"}) {
    EXPECT_TRUE(Refused([&] { AdoptSettings({}, ctx, "the checkpoint"); },
                        {"the checkpoint", "ctx", "cannot be read"}));
  }
}

}  // namespace
}  // namespace linnet

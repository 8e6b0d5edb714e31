#include "train/log.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cli/program.h"
#include "train/refusal.h"

namespace linnet {
namespace {

StepRecord Record(int64_t step) {
  return {step, 5.0 / 3 + static_cast<double>(step), std::nullopt, 1e-3 / 7, 0.1 + 0.2, 1234.5678, 0.7,
          false};
}

TEST(Log, ReadsBackToTheBit) {
  const TemporaryFolder folder;
  StepRecord measured = Record(1);
  measured.val_loss = 2.0 / 3;
  measured.ema_val_loss = 1.0 / 3;
  measured.firing_rate = 1.0 / 7;
  {
    RunLog log(folder / "log", 0);
    log.Write(Record(0));
    log.Write(measured);
  }
  const std::vector<StepRecord> records = ReadLog(folder / "log");
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].loss, Record(0).loss);
  EXPECT_EQ(records[0].lr, Record(0).lr);
  EXPECT_EQ(records[0].gradient_norm, Record(0).gradient_norm);
  EXPECT_FALSE(records[0].val_loss);
  EXPECT_EQ(records[1].val_loss, 2.0 / 3);
  EXPECT_EQ(records[1].ema_val_loss, 1.0 / 3);
  EXPECT_FALSE(records[0].ema_val_loss);
  EXPECT_EQ(records[1].firing_rate, 1.0 / 7);
  EXPECT_FALSE(records[0].firing_rate);
  EXPECT_EQ(records[1].step, 1);
}

TEST(Log, WhatIsNoNumberIsNull) {
  const TemporaryFolder folder;
  StepRecord bad = Record(0);
  bad.loss = NAN;
  bad.gradient_norm = INFINITY;
  bad.skipped = true;
  RunLog(folder / "log", 0).Write(bad);
  const std::string line = ReadFile(folder / "log");
  EXPECT_NE(line.find("\"loss\":null"), std::string::npos) << line;
  EXPECT_NE(line.find("\"grad_norm\":null"), std::string::npos) << line;
  const std::vector<StepRecord> records = ReadLog(folder / "log");
  ASSERT_EQ(records.size(), 1u);
  EXPECT_TRUE(std::isnan(records[0].loss));
  EXPECT_TRUE(records[0].skipped);
}

TEST(Log, AReturnIsNoStepAndIsCutOffLikeOne) {
  const TemporaryFolder folder;
  {
    RunLog log(folder / "log", 0);
    for (int64_t step = 0; step < 8; ++step) log.Write(Record(step));
  }
  {
    RunLog log(folder / "log", 3);
    log.WriteReturn(3, 8, "the loss is not a finite number");
    log.Write(Record(3));
  }
  EXPECT_NE(ReadFile(folder / "log")
                .find(R"({"step":3,"event":"return","from":8,"why":"the loss is not a finite number"})"),
            std::string::npos);
  EXPECT_EQ(ReadLog(folder / "log").size(), 4u);
  RunLog(folder / "log", 4);
  EXPECT_NE(ReadFile(folder / "log").find("return"), std::string::npos);
  RunLog(folder / "log", 3);
  EXPECT_EQ(ReadFile(folder / "log").find("return"), std::string::npos);
  EXPECT_EQ(ReadLog(folder / "log").size(), 3u);
}

TEST(Log, GoingOnCutsOffLaterStepsAndTornLines) {
  const TemporaryFolder folder;
  {
    RunLog log(folder / "log", 0);
    for (int64_t step = 0; step < 5; ++step) log.Write(Record(step));
  }
  WriteFile(folder / "log", ReadFile(folder / "log") + "{\"step\":5,\"loss\":1.");
  EXPECT_EQ(ReadLog(folder / "log").size(), 5u);
  RunLog(folder / "log", 3).Write(Record(3));
  const std::vector<StepRecord> records = ReadLog(folder / "log");
  ASSERT_EQ(records.size(), 4u);
  for (int64_t step = 0; step < 4; ++step) EXPECT_EQ(records[step].step, step);
}

TEST(Log, AFileOfAnotherKindIsLeftAlone) {
  const TemporaryFolder folder;
  for (const char* text : {"a poem", "a poem\nof two lines\n", "{\"a\": 1}\n"}) {
    WriteFile(folder / "text", text);
    EXPECT_TRUE(Refused([&] { RunLog(folder / "text", 0); }, {"text", "--log"}));
    EXPECT_EQ(ReadFile(folder / "text"), text);
  }
}

TEST(Log, AnUnwritableFileIsRefused) {
  const TemporaryFolder folder;
  EXPECT_TRUE(Refused([&] { RunLog(folder / "none" / "log", 0); }, {"none", "--log"}));
}

}  // namespace
}  // namespace linnet

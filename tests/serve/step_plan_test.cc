#include "serve/step_plan.h"

#include <gtest/gtest.h>

#include "infer/tiny_model.h"

namespace linnet {
namespace {

// A machine on which a step takes 2 ms, 0.1 ms more for each text and 0.05 ms more for each row of a prompt.
TEST(Pace, AStepWithPromptsTakesAboutTwiceAsLong) {
  for (const int writing : {1, 16, 64}) {
    Pace pace;
    int longest = 0, without = 0;
    double rows_read = 0;
    for (int step = 0; step < 200; ++step) {
      const auto [rows, in_slices] = pace.RoomBeside(writing, kPrefillRows);
      EXPECT_FALSE(in_slices);
      pace.Note(writing, rows, 2e-3 + 1e-4 * writing + 5e-5 * rows);
      longest = std::max(longest, rows);
      without += rows == 0;
      rows_read += rows;
    }
    const double usual = 2e-3 + 1e-4 * writing;
    EXPECT_LE(5e-5 * longest, usual) << writing;
    EXPECT_GE(5e-5 * rows_read / 200, 0.6 * usual) << writing;
    EXPECT_LE(without, 13);
  }
}

// Something else has the machine for eleven steps; then one takes 1 ms again.
TEST(Pace, ADisturbanceDoesNotPassForUsual) {
  Pace pace;
  for (int step = 0; step < 4; ++step) pace.Note(1, 0, 1e-3);
  for (int step = 0; step < 11; ++step) pace.Note(1, 0, 20e-3);
  EXPECT_LE(pace.Slice(1), 1e-3);
}

TEST(Pace, RowsStayWithinTheirLimits) {
  Pace pace;
  EXPECT_EQ(pace.RoomBeside(4, 100).rows, 0);  // what a step takes is not known yet
  pace.Note(4, 0, 1.0);
  EXPECT_EQ(pace.RoomBeside(4, 100).rows, kCutRows);
  pace.Note(4, kCutRows, 1.0);  // as if rows cost nothing
  int rows = 0;
  for (int i = 0; i < 20; ++i) {
    rows = pace.RoomBeside(4, 100).rows;
    pace.Note(4, rows, 1.0);
  }
  EXPECT_EQ(rows, 100);
}

// The fewest rows that can be cut off take eight times as long as a token here, a pass of them 64 parts.
TEST(Pace, WhereAPieceTakesLongItIsReadInSlices) {
  Pace pace;
  pace.Note(1, 0, 1e-3);
  EXPECT_FALSE(pace.RoomBeside(1, kPrefillRows).in_slices);  // nobody knows yet
  pace.Note(1, kCutRows, 1e-3 + 5e-4 * kCutRows);
  int together = 0, most = 0;
  for (int pass = 0; pass < 1000; ++pass) {
    pace.Note(1, 0, 1e-3);
    const auto [rows, in_slices] = pace.RoomBeside(1, kPrefillRows);
    ASSERT_GE(rows, kCutRows);
    if (in_slices) {
      pace.NoteSlices(rows, rows * 5e-4 / 64);
      most = std::max(most, rows);
    } else {
      pace.Note(1, rows, 1e-3 + 5e-4 * rows);
      ++together;
    }
  }
  EXPECT_LE(pace.Slice(1), 1e-3);
  EXPECT_LE(most * 5e-4 / 64, pace.Slice(1));  // a part fits
  EXPECT_GE(most * 5e-4 / 64, 0.8 * pace.Slice(1));
  EXPECT_LE(together, 20);  // tries whether it has become faster
  EXPECT_GE(together, 10);
}

class ReadingTurnsTest : public testing::Test {
 protected:
  ActiveJob& Reader(const std::string& client, size_t prompt) {
    Job job;
    job.client = client;
    job.prompt.assign(prompt, 1);
    jobs_.push_back(std::make_unique<ActiveJob>(jobs_.size(), std::move(job), model_, tokenizer_));
    jobs_.back()->Begin(state_, static_cast<int>(jobs_.size() - 1), cache_, 0, nullptr);
    readers_.push_back(jobs_.back().get());
    return *jobs_.back();
  }
  std::vector<int> Share(int room) {
    std::vector<int> rows(readers_.size());
    for (const auto& [job, count] : turns_.Share(readers_, room)) rows[job->id()] = count;
    return rows;
  }

  LoadedModel model_ = TinyModel();
  BytesTokenizer tokenizer_;
  State state_ = model_.NewState(8);
  StateCache cache_{0, nullptr};
  std::vector<std::unique_ptr<ActiveJob>> jobs_;
  std::vector<ActiveJob*> readers_;
  ReadingTurns turns_;
};

TEST_F(ReadingTurnsTest, ClientsShareTheRoomAndTheOldestPromptComesFirst) {
  for (int i = 0; i < 3; ++i) Reader("a", 5000);
  Reader("b", 5000);
  EXPECT_EQ(Share(640), (std::vector<int>{320, 0, 0, 320}));
}

TEST_F(ReadingTurnsTest, WhatOneDoesNotNeedAnotherGets) {
  Reader("a", 5000);
  Reader("b", 20);
  EXPECT_EQ(Share(180), (std::vector<int>{160, 20}));
}

TEST_F(ReadingTurnsTest, WithLittleRoomTheyTakeTurns) {
  Reader("a", 5000);
  Reader("b", 5000);
  Reader("c", 5000);
  std::vector<int> sums(3);
  for (int step = 0; step < 6; ++step) {
    const std::vector<int> rows = Share(kCutRows);
    for (size_t i = 0; i < 3; ++i) sums[i] += rows[i];
  }
  EXPECT_EQ(sums, std::vector<int>(3, 2 * kCutRows));
}

TEST_F(ReadingTurnsTest, PiecesAreCutWhereNoBitChanges) {
  ActiveJob& job = Reader("a", 2 * kPrefillRows + 20);
  EXPECT_EQ(job.RowsFor(1), kCutRows);
  EXPECT_EQ(job.RowsFor(100), 96);
  EXPECT_EQ(job.RowsFor(kPrefillRows - 1), kPrefillRows - kCutRows);
  EXPECT_EQ(job.RowsFor(100'000), kPrefillRows);
  ActiveJob& little = Reader("a", 20);
  EXPECT_EQ(little.RowsFor(16), 20);  // 4 rows would go step by step
  EXPECT_EQ(little.RowsFor(1), 20);
}

}  // namespace
}  // namespace linnet

#include "serve/sliced_work.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "infer/tiny_model.h"
#include "nn/breaks.h"

namespace linnet {
namespace {

/// Spends that long between two breaks.
void Part(std::chrono::microseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) continue;
  Breaks::Offer();
}

TEST(SlicedWork, OneOfTheTwoRunsAtATime) {
  SlicedWork work;
  std::string order;
  work.Begin([&] {
    for (int i = 0; i < 3; ++i) {
      order += 'w';
      Breaks::Offer();
    }
    order += 'e';
  });
  EXPECT_EQ(order, "");  // nothing runs unless it is waited for
  while (work.busy()) {
    order += '.';
    work.Continue(0);
  }
  EXPECT_EQ(order, ".w.w.w.e");
}

TEST(SlicedWork, ASliceEndsBeforeItsTimeIsOver) {
  SlicedWork work;
  int parts = 0;
  work.Begin([&] {
    for (; parts < 40; ++parts) Part(std::chrono::milliseconds(2));
  });
  work.Continue(0);  // now it knows how long a part takes
  const int before = parts;
  work.Continue(7e-3);
  EXPECT_GE(parts - before, 1);
  EXPECT_LE(parts - before, 3);
  EXPECT_GE(work.longest_part_s(), 2e-3);
  work.Finish();
  EXPECT_EQ(parts, 40);
  EXPECT_FALSE(work.busy());
}

TEST(SlicedWork, OneWorkFollowsAnotherAndTheEndWaits) {
  int done = 0;
  {
    SlicedWork work;
    for (int i = 0; i < 3; ++i) {
      work.Begin([&] {
        Breaks::Offer();
        ++done;
      });
      work.Finish();
      EXPECT_EQ(done, i + 1);
    }
    work.Begin([&] {
      Breaks::Offer();
      ++done;
    });
    work.Continue(0);
  }
  EXPECT_EQ(done, 4);
}

TEST(SlicedWork, AForwardPassIsTheSameInSlices) {
  const LoadedModel model = TinyModel();
  Batch batch;
  batch.Append({5, 6, 7, 8, 9, 10, 11, 12, 13, 14}, 0);
  const Tensor whole = model.model->Forward(batch, model.NewState(1));
  const State state = model.NewState(1);
  Tensor sliced;
  SlicedWork work;
  work.Begin([&] { sliced = model.model->Forward(batch, state); });
  int slices = 0;
  for (; work.busy(); ++slices) work.Continue(0);
  EXPECT_GE(slices, 2 * model.sizes.at("layers"));
  ASSERT_EQ(sliced.size(), whole.size());
  for (Dim i = 0; i < whole.size(); ++i) ASSERT_EQ(sliced.data()[i], whole.data()[i]) << i;
}

}  // namespace
}  // namespace linnet

#include "train/trouble.h"

#include <gtest/gtest.h>

#include "cli/program.h"
#include "train/comm.h"
#include "train/refusal.h"

namespace linnet {
namespace {

/// A run whose last steps were bad, after so many returns because of the same trouble.
Trouble After(int returns) {
  Trouble trouble{Recovery(10), {}, "the loss is not a finite number"};
  for (int i = 0; i < returns; ++i) trouble.recovery.ReturnFrom(Recovery(trouble.recovery));
  trouble.counters.step = 31;
  return trouble;
}

void Save(RunFolder& folder, int64_t step, bool good) {
  Recovery then(10);
  then.Count(step - 1, 2, 1, !good);
  CheckpointParts parts;
  parts.step = step;
  parts.weights = ContentsOf({{"w", Tensor::Zeros({3})}}, {});
  parts.trainer = ContentsOf({{"m.w", Tensor::Zeros({3})}}, {{"recovery", then.ToJson()}});
  folder.Save(parts);
}

TEST(Trouble, GoesBackToTheNewestGoodCheckpointThenFurther) {
  const TemporaryFolder temporary;
  RunFolder folder(temporary / "run");
  Save(folder, 10, true);
  EXPECT_EQ(CheckpointToReturnTo(folder, After(1)).step, 10) << "there is none before";
  Save(folder, 20, true);
  EXPECT_EQ(CheckpointToReturnTo(folder, After(0)).step, 20);
  EXPECT_EQ(CheckpointToReturnTo(folder, After(1)).step, 10);
  Save(folder, 30, false);  // of these two the other one is good
  EXPECT_EQ(CheckpointToReturnTo(folder, After(0)).step, 20);
}

TEST(Trouble, SaysWhyThereIsNoWayBack) {
  const TemporaryFolder temporary;
  RunFolder folder(temporary / "run");
  EXPECT_TRUE(
      Refused([&] { CheckpointToReturnTo(folder, After(0)); },
              {"5 steps in a row were skipped, the last of them 30, as the loss is not a finite number",
               "no checkpoint was saved yet"}));
  Save(folder, 10, true);
  EXPECT_TRUE(Refused([&] { CheckpointToReturnTo(folder, After(Recovery::kMostReturns)); },
                      {"returned to a checkpoint 3 times", "checkpoint-10.safetensors", "--lr"}));
}

TEST(Trouble, OfSeveralProcessesEndsThemAll) {
  const TemporaryFolder temporary;
  RunFolder folder(temporary / "run");
  EXPECT_THROW(EndTogether("run", folder, After(0)), CommonError);
  Save(folder, 10, true);
  EXPECT_TRUE(
      Refused([&] { EndTogether("out/run", folder, After(0)); },
              {"checkpoint-10.safetensors", "linnet train --resume --out out/run", "beyond step 30"}));
}

}  // namespace
}  // namespace linnet

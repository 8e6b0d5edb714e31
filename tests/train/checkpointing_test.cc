#include "train/checkpointing.h"

#include <gtest/gtest.h>

#include <set>

#include "cli/program.h"
#include "train/refusal.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

CheckpointFiles Save(RunFolder& folder, int64_t step, bool best = false, bool averaged = false) {
  const Tensor weight = Tensor::Zeros({3});
  weight.data()[0] = static_cast<float>(step);
  CheckpointParts parts;
  parts.step = step;
  parts.weights = ContentsOf({{"w", weight}}, {{"step", std::to_string(step)}});
  parts.trainer = ContentsOf({{"m.w", weight}}, {{"counters", "{}"}});
  if (averaged) parts.average = {{"w", weight}};
  parts.best = best;
  return folder.Save(parts);
}

TEST(Checkpointing, KeepsTheLastTwoAndLinksTheNewest) {
  const TemporaryFolder temporary;
  RunFolder folder(temporary / "run");
  EXPECT_TRUE(folder.Checkpoints().empty());
  for (int64_t step : {2, 9, 10}) Save(folder, step);
  const std::vector<CheckpointFiles> kept = folder.Checkpoints();
  ASSERT_EQ(kept.size(), 2u);
  EXPECT_EQ(kept[0].step, 9);  // by number, not by name
  EXPECT_EQ(kept[1].step, 10);
  EXPECT_FALSE(fs::exists(temporary / "run" / "checkpoint-2.trainer.safetensors"));
  EXPECT_EQ(fs::read_symlink(folder.model()), "checkpoint-10.safetensors");
  EXPECT_EQ(Checkpoint::Open(folder.model())->Load("w").data()[0], 10);
  EXPECT_EQ(Checkpoint::Open(kept[1].trainer)->metadata().at("counters"), "{}");
}

TEST(Checkpointing, TheBestIsKept) {
  for (bool averaged : {false, true}) {
    const TemporaryFolder temporary;
    RunFolder folder(temporary / "run");
    const auto best = [&] { return Checkpoint::Open(folder.best())->Load("w").data()[0]; };
    const auto files = [&] {
      std::set<std::string> names;
      for (const auto& entry : fs::directory_iterator(folder.path())) names.insert(entry.path().filename());
      return names;
    };
    const std::string kind = averaged ? ".ema.safetensors" : ".safetensors";
    Save(folder, 1, true, averaged);
    for (int64_t step : {2, 3, 4}) Save(folder, step, false, averaged);
    EXPECT_EQ(best(), 1);
    EXPECT_FALSE(files().contains("checkpoint-1.trainer.safetensors"));
    EXPECT_EQ(folder.Checkpoints().size(), 2u);
    Save(folder, 5, true, averaged);
    EXPECT_EQ(best(), 5);
    EXPECT_FALSE(files().contains("checkpoint-1" + kind)) << "it is the best no more";
    Save(folder, 6, true, averaged);
    EXPECT_TRUE(files().contains("checkpoint-5" + kind)) << "it is one of the last two";
    EXPECT_EQ(averaged, files().contains("model-ema.safetensors"));
  }
}

TEST(Checkpointing, ReturningRemovesWhatCameLaterButForTheBest) {
  const TemporaryFolder temporary;
  {
    RunFolder folder(temporary / "run");
    const CheckpointFiles first = Save(folder, 10);
    Save(folder, 20, true);
    folder.ReturnTo(first);
    ASSERT_EQ(folder.Checkpoints().size(), 1u);
    EXPECT_EQ(fs::read_symlink(folder.model()), "checkpoint-10.safetensors");
    EXPECT_EQ(Checkpoint::Open(folder.best())->Load("w").data()[0], 20);
  }
  RunFolder folder(temporary / "run");  // which sweeps
  EXPECT_EQ(Checkpoint::Open(folder.best())->Load("w").data()[0], 20);
  Save(folder, 15);
  EXPECT_EQ(folder.Checkpoints().back().step, 15);
}

TEST(Checkpointing, HalfACheckpointIsNoneAndIsSweptUp) {
  const TemporaryFolder temporary;
  CheckpointFiles last;
  {
    RunFolder folder(temporary / "run");
    Save(folder, 1);
    last = Save(folder, 2);
  }
  fs::remove(last.weights);  // as if killed between the two files
  WriteFile(temporary / "run" / "checkpoint-3.trainer.safetensors.partial.77", "torn");
  WriteFile(temporary / "run" / "checkpoint-notes.txt", "not ours");
  const RunFolder folder(temporary / "run");
  ASSERT_EQ(folder.Checkpoints().size(), 1u);
  EXPECT_EQ(folder.Checkpoints()[0].step, 1);
  EXPECT_FALSE(fs::exists(last.trainer));
  EXPECT_FALSE(fs::exists(temporary / "run" / "checkpoint-3.trainer.safetensors.partial.77"));
  EXPECT_TRUE(fs::exists(temporary / "run" / "checkpoint-notes.txt"));
}

TEST(Checkpointing, OneRunAtATime) {
  const TemporaryFolder temporary;
  {
    const RunFolder folder(temporary / "run");
    EXPECT_TRUE(Refused([&] { RunFolder(temporary / "run"); },
                        {temporary / "run", "another run is training here", "--out"}));
  }
  EXPECT_NO_THROW(RunFolder(temporary / "run"));
}

TEST(Checkpointing, UnusableFoldersAreRefused) {
  const TemporaryFolder temporary;
  WriteFile(temporary / "file", "x");
  EXPECT_TRUE(Refused([&] { RunFolder(temporary / "file"); }, {temporary / "file", "--out"}));
  EXPECT_TRUE(Refused([&] { RunFolder(temporary / "file" / "run"); }, {temporary / "file" / "run", "--out"}));
  const RunFolder folder(temporary / "run");
  EXPECT_TRUE(Refused([&] { folder.CheckSpace(uint64_t{1} << 60); }, {temporary / "run", "MB left"}));
  EXPECT_NO_THROW(folder.CheckSpace(1));
}

}  // namespace
}  // namespace linnet

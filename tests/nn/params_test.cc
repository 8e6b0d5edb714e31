// What ParamStore makes of a checkpoint of another program.
#include "nn/params.h"

#include <gtest/gtest.h>

#include "formats/dialect_builders.h"
#include "formats/refusal.h"

namespace linnet {
namespace {

/// One block of q8_0 with scale 1: the codes are the values.
std::string Block(int first) {
  std::string block = Values<uint16_t>({0x3C00});
  for (int i = 0; i < 32; ++i) block += static_cast<char>(first + i);
  return block;
}

std::unique_ptr<Checkpoint> Small() {
  return Checkpoint::Open(InMemory(GgufWriter()
                                       .Value("general.architecture", "rwkv7")
                                       .Tensor("blk.0.time_mix_w1.weight", {32, 2}, 8, Block(0) + Block(-60))
                                       .Floats("blk.0.time_mix_k_k.weight", {2}, {1, 2})
                                       .Finish()));
}

TEST(Params, AQuantisedLowRankMatrixIsTurned) {
  const auto checkpoint = Small();
  ParamStore store(*checkpoint, MatrixType::kStored);
  const Tensor w1 = Params(store, "blocks.0.att.").LowRank("w1", {32, 2}, init::Zero());
  EXPECT_EQ(w1.dtype(), DType::kF32);
  ASSERT_EQ(w1.shape(), Shape({32, 2}));
  for (int i = 0; i < 32; ++i) {
    EXPECT_EQ(w1.data()[2 * i], static_cast<float>(i));
    EXPECT_EQ(w1.data()[2 * i + 1], static_cast<float>(i - 60));
  }
}

TEST(Params, MessagesSayWhatTheFileSays) {
  const auto checkpoint = Small();
  ParamStore store(*checkpoint, MatrixType::kStored);
  const Params p(store, "blocks.0.att.");
  EXPECT_TRUE(Refuses(
      [&] {
        p.Vector("k_k", {1, 1, 3}, init::Zero());
      },
      "test-file: blk.0.time_mix_k_k.weight must be [1, 1, 3] but is [1, 1, 2]"));
  EXPECT_TRUE(Refuses(
      [&] {
        p.Vector("x_a", {1, 1, 3}, init::Zero());
      },
      "test-file: the tensor blk.0.time_mix_lerp_fused.weight is missing"));
  EXPECT_TRUE(Refuses([&] { store.CheckAllUsed({}); },
                      "test-file: the tensor blk.0.time_mix_w1.weight [32, 2] belongs"));
}

}  // namespace
}  // namespace linnet

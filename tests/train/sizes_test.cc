// The sizes of a model that is trained from the beginning, where its architecture remembers a fixed number of
// tokens.
#include <gtest/gtest.h>

#include "train/refusal.h"
#include "train/weights.h"

namespace linnet {
namespace {

TrainOptions Of(const std::string& arch, int64_t ctx, int64_t context = 0) {
  TrainOptions options;
  options.arch = arch;
  options.ctx = ctx;
  options.context = context;
  return options;
}

TEST(FreshSizes, AContextIsAsLongAsTheSamplesUnlessChosen) {
  EXPECT_EQ(FreshSizes(Of("transformer", 100)).at("context"), 100);
  EXPECT_EQ(FreshSizes(Of("transformer", 100, 150)).at("context"), 150);
  EXPECT_FALSE(FreshSizes(Of("lstm", 100)).contains("context"));
}

TEST(FreshSizes, RefusesAContextThatIsTooShortOrThatNobodyHas) {
  EXPECT_TRUE(Refused([] { FreshSizes(Of("transformer", 100, 99)); }, {"too short"}));
  EXPECT_TRUE(Refused([] { FreshSizes(Of("rwkv4", 100, 200)); }, {"leave --context out"}));
}

TEST(FreshSizes, RefusesSizesThatAnArchitectureDoesNotHave) {
  TrainOptions options = Of("gru", 100);
  options.ffn = 64;
  EXPECT_TRUE(Refused([&] { FreshSizes(options); }, {"leave --ffn out"}));
  options = Of("aft-simple", 100);
  options.head_size = 32;
  EXPECT_TRUE(Refused([&] { FreshSizes(options); }, {"leave --head-size out"}));
}

}  // namespace
}  // namespace linnet

#include "infer/decays.h"

#include <gtest/gtest.h>

#include <cmath>

#include "infer/tiny_model.h"

namespace linnet {
namespace {

TEST(DecaysTest, AreThoseOfTheModelsParameters) {
  const LoadedModel model = TinyModel();
  const auto decays = Decays(*model.params);
  ASSERT_EQ(static_cast<Dim>(decays.size()), model.sizes.at("layers"));
  for (size_t layer = 0; layer < decays.size(); ++layer) {
    const std::string name = fmt::format("blocks.{}.att.w0", layer);
    const auto found = std::ranges::find(model.params->parameters(), name, &Parameter::name);
    ASSERT_NE(found, model.params->parameters().end());
    ASSERT_EQ(static_cast<Dim>(decays[layer].size()), model.sizes.at("width"));
    for (size_t c = 0; c < decays[layer].size(); ++c) {
      const double w = found->tensor.data()[c];
      const double expected = std::exp(-std::exp(-0.5) / (1 + std::exp(-w)));
      EXPECT_NEAR(decays[layer][c], expected, 1e-12);
      EXPECT_GT(decays[layer][c], std::exp(-std::exp(-0.5)));
      EXPECT_LT(decays[layer][c], 1);
    }
  }
}

}  // namespace
}  // namespace linnet

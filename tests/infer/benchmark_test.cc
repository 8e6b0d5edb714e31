#include "infer/benchmark.h"

#include <gtest/gtest.h>

#include "small_sizes.h"

namespace linnet {
namespace {

LoadedModel WithVocabulary(const Architecture& architecture, Dim vocab) {
  const Sizes sizes{{"layers", 2}, {"width", 64}, {"vocab", vocab}, {"head_size", 32}};
  return NewModel(architecture, SmallSizes(architecture, sizes), /*seed=*/1);
}

/// A larger vocabulary makes a token dearer by the rows that the head gains, and by nothing else: embeddings
/// have more rows, but a token needs one.
TEST(BenchmarkTest, TablesCostOneRow) {
  constexpr Dim kFew = 100, kMany = 300;
  for (const Architecture& architecture : Architectures()) {
    const LoadedModel few = WithVocabulary(architecture, kFew), many = WithVocabulary(architecture, kMany);
    const double more = static_cast<double>((kMany - kFew) * many.sizes.at("width"));
    const double biases = many.model->head_bias() ? kMany - kFew : 0;
    EXPECT_DOUBLE_EQ(WeightBytesPerToken(many) - WeightBytesPerToken(few), (more + biases) * sizeof(float))
        << architecture.name;
    EXPECT_DOUBLE_EQ(FlopsPerToken(many) - FlopsPerToken(few), 2 * more) << architecture.name;
    EXPECT_GT(FlopsPerToken(few), 0) << architecture.name;
  }
}

}  // namespace
}  // namespace linnet

#include "train/ema.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "cli/program.h"
#include "kernels/backend.h"
#include "train/refusal.h"

namespace linnet {
namespace {

TrainableModel TinyModel(MatrixType matrices) {
  const Architecture& architecture = FindArchitecture("rwkv7");
  return NewTrainable(
      architecture,
      architecture.complete_sizes({{"layers", 1}, {"width", 32}, {"head_size", 16}, {"vocab", 256}}), 3,
      matrices);
}

/// As an optimizer's step would: new masters, and the copies that the model reads.
void Change(const TrainableModel& weights, Random& random) {
  for (size_t i = 0; i < weights.parameters().size(); ++i) {
    const Tensor& values = weights.values(i);
    for (Dim k = 0; k < values.size(); ++k) values.data()[k] += static_cast<float>(0.1 * random.Normal());
    if (weights.masters[i]) Backend::For(Device::kCpu).Convert(values, weights.parameters()[i].tensor);
  }
}

std::string Bytes(const Tensor& t) { return {static_cast<const char*>(t.raw()), t.bytes()}; }

class WeightAverageTest : public testing::TestWithParam<MatrixType> {};

TEST_P(WeightAverageTest, FollowsItsFormulaInDoublePrecision) {
  const TrainableModel weights = TinyModel(GetParam());
  WeightAverage average(weights, 0.9);
  std::vector<std::vector<double>> plain;
  for (size_t i = 0; i < weights.parameters().size(); ++i) {
    const Tensor& values = weights.values(i);
    plain.emplace_back(values.data(), values.data() + values.size());
  }
  Random random(1);
  for (int n = 1; n <= 200; ++n) {
    Change(weights, random);
    average.Update(n);
    const double decay = std::min(0.9, (1.0 + n) / (10 + n));
    for (size_t i = 0; i < plain.size(); ++i) {
      for (size_t k = 0; k < plain[i].size(); ++k) {
        plain[i][k] = decay * plain[i][k] + (1 - decay) * weights.values(i).data()[k];
      }
    }
  }
  const std::vector<NamedTensor> values = average.Values();
  ASSERT_EQ(values.size(), plain.size());
  for (size_t i = 0; i < plain.size(); ++i) {
    EXPECT_EQ(values[i].name, weights.parameters()[i].name);
    for (size_t k = 0; k < plain[i].size(); ++k) ASSERT_NEAR(values[i].tensor.data()[k], plain[i][k], 2e-5);
  }
}

TEST_P(WeightAverageTest, TheModelHasItWhileInUseAndItsWeightsAfterwards) {
  const TrainableModel weights = TinyModel(GetParam());
  WeightAverage average(weights, 0.5);
  Random random(1);
  for (int n = 1; n <= 5; ++n) {
    Change(weights, random);
    average.Update(n);
  }
  std::vector<std::string> read, masters, averages, rounded;
  for (size_t i = 0; i < weights.parameters().size(); ++i) {
    const Tensor& tensor = weights.parameters()[i].tensor;
    read.push_back(Bytes(tensor));
    masters.push_back(Bytes(weights.values(i)));
    averages.push_back(Bytes(average.Values()[i].tensor));
    const Tensor expected = Tensor::Empty(tensor.shape(), tensor.dtype());
    Backend::For(Device::kCpu).Convert(average.Values()[i].tensor, expected);
    rounded.push_back(Bytes(expected));
    EXPECT_NE(read[i], rounded[i]);
  }
  {
    const WeightAverage::InUse in_use(average);
    for (size_t i = 0; i < read.size(); ++i) EXPECT_EQ(Bytes(weights.parameters()[i].tensor), rounded[i]);
  }
  for (size_t i = 0; i < read.size(); ++i) {
    EXPECT_EQ(Bytes(weights.parameters()[i].tensor), read[i]);
    EXPECT_EQ(Bytes(weights.values(i)), masters[i]);
    EXPECT_EQ(Bytes(average.Values()[i].tensor), averages[i]);
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, WeightAverageTest, testing::Values(MatrixType::kF32, MatrixType::kBf16),
                         [](const auto& info) { return info.param == MatrixType::kF32 ? "fp32" : "bf16"; });

TEST(WeightAverage, IsReadFromItsFileOrRefused) {
  const TemporaryFolder folder;
  const TrainableModel weights = TinyModel(MatrixType::kF32);
  WeightAverage saved(weights, 0.5), read(weights, 0.5);
  Random random(1);
  Change(weights, random);
  saved.Update(1);
  WriteSafetensors(folder / "average.safetensors", saved.Values(), {});
  read.Restore(*Checkpoint::Open(folder / "average.safetensors"));
  for (size_t i = 0; i < saved.Values().size(); ++i) {
    EXPECT_EQ(Bytes(saved.Values()[i].tensor), Bytes(read.Values()[i].tensor));
  }
  std::vector<NamedTensor> some = saved.Values();
  const std::string missing = some.back().name;
  some.pop_back();
  WriteSafetensors(folder / "some.safetensors", some, {});
  EXPECT_TRUE(Refused([&] { read.Restore(*Checkpoint::Open(folder / "some.safetensors")); },
                      {folder / "some.safetensors", missing, "missing"}));
  some.push_back({missing, Tensor::Zeros({3})});
  WriteSafetensors(folder / "other.safetensors", some, {});
  EXPECT_TRUE(
      Refused([&] { read.Restore(*Checkpoint::Open(folder / "other.safetensors")); }, {missing, "must be"}));
}

}  // namespace
}  // namespace linnet

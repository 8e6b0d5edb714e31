#include "formats/relayout.h"

#include <cmath>
#include <cstring>

#include "formats/values.h"

namespace linnet {
namespace {

/// A tensor of `type` whose bytes are those of `values`.
template <class T>
Tensor Of(DType type, const Shape& shape, std::initializer_list<T> values) {
  const Tensor tensor = Tensor::Empty(shape, type);
  EXPECT_EQ(tensor.bytes(), values.size() * sizeof(T));
  std::memcpy(tensor.raw(), values.begin(), tensor.bytes());
  return tensor;
}

Tensor Scaled(const Tensor& tensor, int64_t exponent) {
  const RelayoutStep step{Relayout::kTimesPowerOfTwo, exponent};
  const Checkpoint::Entry entry{"w", tensor.shape(), tensor.dtype()};
  return TensorAfter(step, tensor, EntryAfter(step, entry, "w"));
}

float Half(uint16_t bits) { return ToFloat(F16{bits}); }

TEST(Relayout, EveryHalfTimesPowersOfTwo) {
  const Tensor all = Tensor::Empty({0x10000}, DType::kF16);
  for (int i = 0; i < 0x10000; ++i) all.data<F16>()[i].bits = static_cast<uint16_t>(i);
  for (int exponent : {0, 1, 3, 12, 64}) {
    const Tensor scaled = Scaled(all, exponent);
    for (int i = 0; i < 0x10000; ++i) {
      const float x = Half(static_cast<uint16_t>(i)), y = ToFloat(scaled.data<F16>()[i]);
      const float exact = std::ldexp(x, exponent);
      if (std::isnan(x)) {
        ASSERT_TRUE(std::isnan(y)) << i;
      } else if (std::abs(exact) < 65536) {
        ASSERT_EQ(y, exact) << i << " times 2^" << exponent;
      } else {
        ASSERT_TRUE(std::isinf(y) && std::signbit(y) == std::signbit(x)) << i << " times 2^" << exponent;
      }
    }
  }
}

TEST(Relayout, OtherFloatsTimesPowersOfTwo) {
  EXPECT_EQ(ValuesOf(Scaled(Of<float>(DType::kF32, {2}, {0.1f, -3}), 5)),
            (std::vector<float>{0.1f * 32, -96}));
  EXPECT_EQ(ValuesOf(Scaled(Of<uint16_t>(DType::kBf16, {2}, {0x3F81, 0xC000}), 1)),
            (std::vector<float>{2.015625f, -4}));
}

// Only the scales of blocks change: two at the front, one at the front, or one at the end.
TEST(Relayout, BlocksTimesPowersOfTwo) {
  const std::tuple<DType, std::vector<size_t>> types[] = {
      {DType::kQ8_0, {0}},    {DType::kQ4_0, {0}},    {DType::kQ4_1, {0, 2}}, {DType::kQ5_0, {0}},
      {DType::kQ5_1, {0, 2}}, {DType::kQ4_K, {0, 2}}, {DType::kQ5_K, {0, 2}}, {DType::kQ6_K, {208}}};
  for (const auto& [type, places] : types) {
    const auto block = static_cast<size_t>(Traits(type).bytes_per_block);
    const Tensor x = Tensor::Empty({2, Traits(type).values_per_block}, type);
    std::memset(x.raw(), 0x3C, x.bytes());  // scales of 1.058
    const Tensor y = Scaled(x, 2);
    const auto* before = static_cast<const uint8_t*>(x.raw());
    const auto* after = static_cast<const uint8_t*>(y.raw());
    for (size_t i = 0; i < x.bytes(); ++i) {
      const bool is_high_byte = std::find(places.begin(), places.end(), i % block - 1) != places.end();
      // Two more in the exponent, whose lowest bit is bit 2 of the upper byte.
      EXPECT_EQ(after[i], before[i] + (is_high_byte ? 2 << 2 : 0)) << Traits(type).name << " byte " << i;
    }
  }
}

TEST(Relayout, StridesOfEveryRank) {
  const Tensor x = Of<float>(DType::kF32, {6}, {0, 1, 2, 3, 4, 5});
  const auto* from = static_cast<const std::byte*>(x.raw());
  const auto copied = [&](const Shape& shape, const std::array<int64_t, 4>& strides) {
    const Tensor y = Tensor::Empty(shape);
    CopyStrided(from, strides, y);
    return ValuesOf(y);
  };
  EXPECT_EQ(copied({3}, {2}), (std::vector<float>{0, 2, 4}));
  EXPECT_EQ(copied({3, 2}, {1, 3}), (std::vector<float>{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(copied({1, 2, 1, 3}, {9, 3, 9, 1}), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(copied({}, {}), (std::vector<float>{0}));
}

}  // namespace
}  // namespace linnet

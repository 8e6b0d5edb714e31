// The block types: layouts against values worked out by hand, encoding against the error that its bits allow.
#include "kernels/cpu/blocks.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/random.h"
#include "kernels/backend.h"

namespace linnet {
namespace {

template <class B>
std::vector<float> Decoded(DType type, const B& block) {
  std::vector<float> values(Traits(type).values_per_block);
  DecodeBlocks(type, &block, 1, values.data());
  return values;
}

TEST(Half, RoundsAsIeeeWantsAndBack) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const F16 half{static_cast<uint16_t>(bits)};
    const float value = ToFloat(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(ToFloat(ToF16(value))));
    } else {
      ASSERT_EQ(ToF16(value).bits, bits);
    }
  }
  const float ulp = 0x1p-10f;
  EXPECT_EQ(ToFloat(ToF16(1 + ulp / 2)), 1) << "a tie goes to the even mantissa";
  EXPECT_EQ(ToFloat(ToF16(1 + 3 * ulp / 2)), 1 + 2 * ulp);
  EXPECT_EQ(ToFloat(ToF16(1 + ulp * 0.51f)), 1 + ulp);
  EXPECT_EQ(ToFloat(ToF16(65519)), 65504);
  EXPECT_EQ(ToFloat(ToF16(65520)), std::numeric_limits<float>::infinity());
  EXPECT_EQ(ToFloat(ToF16(0x1p-25f)), 0);
  EXPECT_EQ(ToFloat(ToF16(0x1.8p-25f)), 0x1p-24f);
}

TEST(Blocks, FourBitCodesOfAPairShareAByte) {
  BlockQ4_0 plain;
  BlockQ4_1 affine;
  plain.d.Set(0.5f);
  affine.d.Set(0.25f);
  affine.m.Set(-3);
  for (int i = 0; i < 16; ++i) plain.codes[i] = affine.codes[i] = static_cast<uint8_t>(i | (15 - i) << 4);
  const auto x = Decoded(DType::kQ4_0, plain), y = Decoded(DType::kQ4_1, affine);
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(x[i], 0.5f * static_cast<float>(i - 8));
    EXPECT_EQ(x[i + 16], 0.5f * static_cast<float>(7 - i));
    EXPECT_EQ(y[i], 0.25f * static_cast<float>(i) - 3);
    EXPECT_EQ(y[i + 16], 0.25f * static_cast<float>(15 - i) - 3);
  }
}

TEST(Blocks, TheFifthBitLiesApart) {
  BlockQ5_0 plain{};
  BlockQ5_1 affine{};
  plain.d.Set(2);
  affine.d.Set(2);
  affine.m.Set(1);
  for (int i = 0; i < 16; ++i) plain.codes[i] = affine.codes[i] = 0x73;  // 3 and 7
  for (int i : {0, 9, 16, 31}) {
    plain.high[i / 8] |= static_cast<uint8_t>(1 << (i % 8));
    affine.high[i / 8] |= static_cast<uint8_t>(1 << (i % 8));
  }
  const auto x = Decoded(DType::kQ5_0, plain), y = Decoded(DType::kQ5_1, affine);
  for (int i = 0; i < 32; ++i) {
    const bool high = i == 0 || i == 9 || i == 16 || i == 31;
    const int code = (i < 16 ? 3 : 7) + (high ? 16 : 0);
    EXPECT_EQ(x[i], static_cast<float>(2 * (code - 16))) << i;
    EXPECT_EQ(y[i], static_cast<float>(2 * code + 1)) << i;
  }
}

TEST(Blocks, GroupScalesComeBackAsTheyWerePut) {
  uint8_t packed[12] = {};
  for (int g = 0; g < 8; ++g) {
    SetGroupScale(packed, g, {static_cast<uint8_t>(63 - 5 * g), static_cast<uint8_t>(9 * g)});
  }
  for (int g = 0; g < 8; ++g) {
    EXPECT_EQ(GetGroupScale(packed, g).scale, 63 - 5 * g) << g;
    EXPECT_EQ(GetGroupScale(packed, g).min, 9 * g) << g;
  }
}

TEST(Blocks, SuperBlocksHoldTwoGroupsIn32Bytes) {
  BlockQ4_K four{};
  BlockQ5_K five{};
  four.d.Set(0.5f);
  four.dmin.Set(0.25f);
  five.d.Set(0.5f);
  five.dmin.Set(0.25f);
  for (int g = 0; g < 8; ++g) {
    const GroupScale s{static_cast<uint8_t>(g + 1), static_cast<uint8_t>(2 * g)};
    SetGroupScale(four.scales, g, s);
    SetGroupScale(five.scales, g, s);
  }
  for (int i = 0; i < 128; ++i)
    four.codes[i] = five.codes[i] = static_cast<uint8_t>((i % 16) | (i / 32) << 4);
  for (int i = 0; i < 32; ++i) five.high[i] = static_cast<uint8_t>(i == 4 ? 0b10000001 : 0);
  const auto x = Decoded(DType::kQ4_K, four), y = Decoded(DType::kQ5_K, five);
  for (int i = 0; i < 256; ++i) {
    const int g = i / 32, code = g % 2 == 0 ? i % 16 : g / 2;
    const float scale = 0.5f * static_cast<float>(g + 1), min = 0.25f * static_cast<float>(2 * g);
    EXPECT_EQ(x[i], scale * static_cast<float>(code) - min) << i;
    const int fifth = i % 32 == 4 && (g == 0 || g == 7) ? 16 : 0;
    EXPECT_EQ(y[i], scale * static_cast<float>(code + fifth) - min) << i;
  }
}

TEST(Blocks, SixBitCodesAreFourLowAndTwoHighBits) {
  BlockQ6_K block{};
  block.d.Set(0.5f);
  for (int g = 0; g < 16; ++g) block.scales[g] = static_cast<int8_t>(g - 8);
  for (int i = 0; i < 128; ++i) block.low[i] = static_cast<uint8_t>(i < 64 ? 0x21 : 0x43);
  for (int i = 0; i < 64; ++i) block.high[i] = static_cast<uint8_t>(i < 32 ? 0b11100100 : 0b00011011);
  const auto x = Decoded(DType::kQ6_K, block);
  for (int i = 0; i < 256; ++i) {
    const int quarter = i % 128 / 32, half = i / 128;
    const int low = half == 0 ? (quarter < 2 ? 1 : 2) : (quarter < 2 ? 3 : 4);
    const int high = half == 0 ? quarter : 3 - quarter;
    EXPECT_EQ(x[i], 0.5f * static_cast<float>((i / 16 - 8) * (low + 16 * high - 32))) << i;
  }
}

/// Root mean square of the error over that of the values.
double RelativeError(const Tensor& x, DType type) {
  const Tensor blocks = Tensor::Empty(x.shape(), type), back = Tensor::Empty(x.shape());
  Backend& backend = Backend::For(Device::kCpu);
  backend.Convert(x, blocks);
  backend.Convert(blocks, back);
  double error = 0, squares = 0;
  for (Dim i = 0; i < x.size(); ++i) {
    error += std::pow(back.data()[i] - x.data()[i], 2);
    squares += std::pow(x.data()[i], 2);
  }
  return std::sqrt(error / squares);
}

TEST(Encode, LosesNoMoreThanItsBitsMust) {
  // A uniform quantiser of b bits over the range of 32 normal numbers (about 4 standard deviations wide)
  // leaves 4 / 2^b / sqrt(12); fitted scales do a little better than that.
  const std::pair<DType, double> bounds[] = {
      {DType::kQ8_0, 0.006}, {DType::kQ6_K, 0.02},  {DType::kQ5_1, 0.038}, {DType::kQ5_K, 0.038},
      {DType::kQ5_0, 0.045}, {DType::kQ4_1, 0.078}, {DType::kQ4_K, 0.078}, {DType::kQ4_0, 0.09}};
  const Tensor x = Tensor::Empty({16, 1024});
  Random random(1);
  for (Dim i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(0.02 * random.Normal());
  for (const auto& [type, bound] : bounds) {
    const double error = RelativeError(x, type);
    EXPECT_LE(error, bound) << Traits(type).name;
    EXPECT_GE(error, bound / 3) << Traits(type).name << ": the bound says nothing";
  }
}

TEST(Encode, ValuesOnItsGridComeBackExactly) {
  for (DType type : {DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1}) {
    const Tensor x = Tensor::Empty({1, 64});
    for (Dim i = 0; i < 64; ++i) x.data()[i] = 0.25f * static_cast<float>(i % 16 - 8);
    x.data()[40] = type == DType::kQ8_0 ? 0.25f * 127 : x.data()[40];
    if (type == DType::kQ5_0) x.data()[0] = x.data()[32] = 0.25f * -16;
    if (type == DType::kQ8_0) x.data()[0] = 0.25f * 127;
    EXPECT_LE(RelativeError(x, type), 2e-4) << Traits(type).name;
  }
}

TEST(Encode, ZerosConstantsAndOutliersAreNoTrouble) {
  for (DType type : {DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ4_K,
                     DType::kQ5_K, DType::kQ6_K}) {
    SCOPED_TRACE(Traits(type).name);
    const Tensor x = Tensor::Zeros({1, 256}), blocks = Tensor::Empty({1, 256}, type),
                 back = Tensor::Empty({1, 256});
    Backend& backend = Backend::For(Device::kCpu);
    backend.Convert(x, blocks);
    backend.Convert(blocks, back);
    for (Dim i = 0; i < 256; ++i) ASSERT_EQ(back.data()[i], 0);
    for (float constant : {3.0f, -3.0f}) {
      std::fill_n(x.data(), 256, constant);
      EXPECT_LE(RelativeError(x, type), 0.02);
    }
    std::fill_n(x.data(), 256, 0.001f);
    x.data()[77] = -50;
    backend.Convert(x, blocks);
    backend.Convert(blocks, back);
    EXPECT_NEAR(back.data()[77], -50, 1.0);
    EXPECT_NEAR(back.data()[200], 0.001f, 0.03);
  }
}

TEST(Convert, RefusesWhatIsNoBlockOrNoNumber) {
  Backend& backend = Backend::For(Device::kCpu);
  EXPECT_THROW(backend.Convert(Tensor::Zeros({2, 48}), Tensor::Empty({2, 48}, DType::kQ8_0)), Error);
  EXPECT_THROW(backend.Convert(Tensor::Zeros({2, 32}, DType::kI32), Tensor::Empty({2, 32})), Error);
  EXPECT_THROW(backend.Convert(Tensor::Zeros({2, 32}), Tensor::Empty({2, 32}, DType::kF64)), Error);
}

}  // namespace
}  // namespace linnet

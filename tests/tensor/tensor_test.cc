#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <cmath>

namespace linnet {
namespace {

TEST(Shape, CountsAndPrints) {
  const Shape shape{2, 3, 4};
  EXPECT_EQ(shape.size(), 24);
  EXPECT_EQ(shape[-1], 4);
  EXPECT_EQ(fmt::format("{}", shape), "[2, 3, 4]");
  EXPECT_EQ(Shape{}.size(), 1);
  EXPECT_FALSE(shape == (Shape{2, 3}));
  EXPECT_THROW((Shape{1, 2, 3, 4, 5}), Error);
  EXPECT_THROW((Shape{-1}), Error);
}

TEST(Tensor, CopiesShareAndClonesDoNot) {
  const Tensor a = Tensor::Zeros({3});
  const Tensor shared = a, clone = a.Clone(), reshaped = a.Reshape({1, 3, 1});
  a.data()[1] = 5;
  EXPECT_EQ(shared.data()[1], 5);
  EXPECT_EQ(reshaped.data()[1], 5);
  EXPECT_EQ(clone.data()[1], 0);
  EXPECT_THROW(a.Reshape({4}), Error);
  EXPECT_THROW(a.data<Bf16>(), Error);
}

TEST(Tensor, AnAliasKeepsTheElementsAlive) {
  Tensor alias;
  {
    const Tensor t = Tensor::Zeros({100});
    t.data()[99] = 7;
    alias = t.Detach();
  }
  const Tensor other = Tensor::Zeros({100});  // would take the freed block
  EXPECT_EQ(alias.data()[99], 7);
  EXPECT_EQ(other.data()[99], 0);
}

TEST(Memory, FreedBlocksAreReusedAndCounted) {
  const size_t before = HostMemoryUse().in_use_bytes;
  const void* first;
  {
    const Tensor t = Tensor::Empty({12345});
    first = t.raw();
    EXPECT_GE(HostMemoryUse().in_use_bytes, before + 12345 * 4);
    EXPECT_LE(HostMemoryUse().in_use_bytes, before + 12345 * 5 + 64) << "at most a quarter is unused";
    EXPECT_EQ(reinterpret_cast<uintptr_t>(first) % 64, 0u);
  }
  EXPECT_EQ(HostMemoryUse().in_use_bytes, before);
  EXPECT_EQ(Tensor::Empty({12345}).raw(), first);
}

TEST(DType, Bf16RoundsToNearestEven) {
  EXPECT_EQ(ToFloat(ToBf16(1.0f)), 1.0f);
  EXPECT_EQ(ToFloat(ToBf16(1.0f + 0x1p-8f)), 1.0f) << "a tie goes to the even one";
  EXPECT_EQ(ToFloat(ToBf16(1.0f + 0x1.8p-7f)), 1.0f + 0x1p-6f) << "a tie goes to the even one";
  EXPECT_EQ(ToFloat(ToBf16(1.0f + 0x1.1p-8f)), 1.0f + 0x1p-7f);
  EXPECT_TRUE(std::isnan(ToFloat(ToBf16(std::bit_cast<float>(0x7F800001u)))));
  EXPECT_TRUE(std::isinf(ToFloat(ToBf16(INFINITY))));
}

TEST(DType, F16WidensExactly) {
  EXPECT_EQ(ToFloat(F16{0x3C00}), 1.0f);
  EXPECT_EQ(ToFloat(F16{0xC000}), -2.0f);
  EXPECT_EQ(ToFloat(F16{0x7BFF}), 65504.0f);
  EXPECT_EQ(ToFloat(F16{0x0001}), 0x1p-24f);
  EXPECT_EQ(ToFloat(F16{0x83FF}), -0x1.ff8p-15f);
  EXPECT_TRUE(std::isinf(ToFloat(F16{0x7C00})));
  EXPECT_TRUE(std::isnan(ToFloat(F16{0x7E00})));
}

}  // namespace
}  // namespace linnet

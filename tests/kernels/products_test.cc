// Products with weights of every type, against sums in double precision of what the weights decode to, one
// value at a time; and the promise that a row's result is the same to the bit in any batch.
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "base/parallel.h"
#include "base/random.h"
#include "kernels/backend.h"
#include "kernels/cpu/blocks.h"

namespace linnet {
namespace {

constexpr DType kTypes[] = {DType::kF32,  DType::kBf16, DType::kF16,  DType::kQ8_0,
                            DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1,
                            DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};

Tensor Random2d(Dim rows, Dim columns, uint64_t seed) {
  const Tensor t = Tensor::Empty({rows, columns});
  Random random(seed);
  for (Dim i = 0; i < t.size(); ++i) t.data()[i] = static_cast<float>(random.Normal());
  return t;
}

Tensor InType(const Tensor& x, DType type) {
  const Tensor y = Tensor::Empty(x.shape(), type);
  Backend::For(Device::kCpu).Convert(x, y);
  return y;
}

/// The values that a product counts with.
std::vector<double> Values(const Tensor& x, bool rounded) {
  const Tensor values = InType(x, DType::kF32);
  std::vector<double> result(x.size());
  for (Dim i = 0; i < x.size(); ++i) {
    result[i] = rounded ? ToFloat(ToBf16(values.data()[i])) : values.data()[i];
  }
  return result;
}

/// c = a b^T
void RowProducts(const Tensor& a, const Tensor& b, const Tensor& c) {
  Backend::For(Device::kCpu).Project(std::array{Projection{a, b, true, c}});
}
/// c = a b
void ColumnProducts(const Tensor& a, const Tensor& b, const Tensor& c) {
  Backend::For(Device::kCpu).Project(std::array{Projection{a, b, false, c}});
}

struct Case {
  Tensor a, b;  // as given to the products
  Tensor c;
  std::vector<double> expected, size;  // size: the sum of absolute products, which errors are relative to
};

Case MakeCase(DType type, Dim m, Dim n, Dim k, bool columns) {
  const bool f32 = type == DType::kF32;
  Case result{InType(Random2d(m, k, 1), f32 ? DType::kF32 : DType::kBf16),
              InType(columns ? Random2d(k, n, 2) : Random2d(n, k, 2), type),
              Tensor::Empty({m, n}),
              {},
              {}};
  const auto a = Values(result.a, !f32), b = Values(result.b, !f32 && !columns);
  for (Dim i = 0; i < m; ++i) {
    for (Dim j = 0; j < n; ++j) {
      double sum = 0, size = 0;
      for (Dim l = 0; l < k; ++l) {
        const double product = a[i * k + l] * (columns ? b[l * n + j] : b[j * k + l]);
        sum += product, size += std::abs(product);
      }
      result.expected.push_back(sum);
      result.size.push_back(size);
    }
  }
  return result;
}

void CheckCase(const Case& c) {
  for (Dim i = 0; i < c.c.size(); ++i) {
    ASSERT_NEAR(c.c.data()[i], c.expected[i], 1e-6 * c.size[i] + 1e-12) << "element " << i;
  }
}

TEST(RowProducts, AreThoseOfTheDecodedWeights) {
  for (DType type : kTypes) {
    const Dim block = Traits(type).values_per_block;
    for (Dim m : {1, 2, 5, 6, 7, 13}) {
      for (Dim n : {1, 3, 16, 37}) {
        for (Dim k : {block, 3 * block, 2560L}) {
          SCOPED_TRACE(fmt::format("{} [{}, {}] x [{}, {}]", Traits(type).name, m, k, n, k));
          const Case c = MakeCase(type, m, n, k, false);
          RowProducts(c.a, c.b, c.c);
          CheckCase(c);
        }
      }
    }
  }
  for (DType type : {DType::kF32, DType::kBf16, DType::kF16}) {  // rows that leave tails
    for (Dim k : {1, 33, 70}) {
      const Case c = MakeCase(type, 9, 21, k, false);
      RowProducts(c.a, c.b, c.c);
      CheckCase(c);
    }
  }
}

TEST(ColumnProducts, AreThoseOfTheDecodedWeights) {
  for (DType type : {DType::kF32, DType::kBf16, DType::kF16}) {
    for (Dim m : {1, 3, 6, 20}) {
      for (Dim n : {1, 16, 70, 200}) {
        for (Dim k : {1, 31, 128}) {
          SCOPED_TRACE(fmt::format("{} [{}, {}] x [{}, {}]", Traits(type).name, m, k, k, n));
          const Case c = MakeCase(type, m, n, k, true);
          ColumnProducts(c.a, c.b, c.c);
          CheckCase(c);
        }
      }
    }
  }
}

TEST(Products, OfARowAreTheSameToTheBitInAnyBatch) {
  for (DType type : kTypes) {
    const Dim k = 2304, n = 75;
    const bool columns_too = !IsQuantized(type);
    const Case c = MakeCase(type, 23, n, k, false);
    RowProducts(c.a, c.b, c.c);
    const Tensor b_columns = columns_too ? InType(Random2d(k, n, 3), type) : Tensor();
    const Tensor wide = Tensor::Empty({23, n});
    if (columns_too) ColumnProducts(c.a, b_columns, wide);
    const size_t row_bytes = c.a.bytes() / 23;
    for (Dim row : {0, 5, 22}) {
      for (Dim rows : {1, 4}) {
        if (row + rows > 23) continue;
        const Tensor a = Tensor::Wrap(nullptr, static_cast<std::byte*>(c.a.raw()) + row * row_bytes,
                                      {rows, k}, c.a.dtype());
        const Tensor alone = Tensor::Empty({rows, n});
        RowProducts(a, c.b, alone);
        for (Dim i = 0; i < rows * n; ++i)
          ASSERT_EQ(alone.data()[i], c.c.data()[row * n + i]) << Traits(type).name;
        if (!columns_too) continue;
        ColumnProducts(a, b_columns, alone);
        for (Dim i = 0; i < rows * n; ++i)
          ASSERT_EQ(alone.data()[i], wide.data()[row * n + i]) << Traits(type).name;
      }
    }
  }
}

TEST(Products, AskedForTogetherAreThoseAskedForOneByOne) {
  const Case wide = MakeCase(DType::kBf16, 3, 3000, 64, false), low = MakeCase(DType::kF32, 5, 70, 96, true),
             blocks = MakeCase(DType::kQ4_0, 1, 40, 512, false);
  Backend::For(Device::kCpu)
      .Project(std::array{Projection{wide.a, wide.b, true, wide.c}, Projection{low.a, low.b, false, low.c},
                          Projection{blocks.a, blocks.b, true, blocks.c}});
  for (const Case* c : {&wide, &low, &blocks}) CheckCase(*c);
}

TEST(RowProducts, ReadBlocksAtOddAddresses) {
  const Tensor blocks = InType(Random2d(8, 64, 4), DType::kQ8_0);
  const Tensor moved = Tensor::Empty({static_cast<Dim>(blocks.bytes()) + 1}, DType::kU8);
  std::copy_n(static_cast<std::byte*>(blocks.raw()), blocks.bytes(),
              static_cast<std::byte*>(moved.raw()) + 1);
  const Tensor odd = Tensor::Wrap(nullptr, static_cast<std::byte*>(moved.raw()) + 1, {8, 64}, DType::kQ8_0);
  const Tensor x = InType(Random2d(1, 64, 5), DType::kBf16), y = Tensor::Empty({1, 8}),
               z = Tensor::Empty({1, 8});
  RowProducts(x, blocks, y);
  RowProducts(x, odd, z);
  for (Dim i = 0; i < 8; ++i) EXPECT_EQ(y.data()[i], z.data()[i]);
}

}  // namespace
}  // namespace linnet

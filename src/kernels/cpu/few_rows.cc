#include "kernels/cpu/few_rows.h"

#include "base/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/few_rows.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/simd.h"

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

/// The dot products of `rows` rows of a with one row of b: four running sums hide the latency of the
/// additions.
template <class T>
HWY_INLINE void Dots(const T* a, int64_t rows, const T* b, size_t k, float* c, size_t stride) {
  const size_t step = 4 * Lanes(), lanes = Lanes();
  for (int64_t row = 0; row < rows; ++row) {
    const T* x = a + row * k;
    Vec s0 = hn::Zero(F32()), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;
    const WholeVector io;
    for (; i + step <= k; i += step) {
      s0 = hn::MulAdd(io.Load(x + i), io.Load(b + i), s0);
      s1 = hn::MulAdd(io.Load(x + i + lanes), io.Load(b + i + lanes), s1);
      s2 = hn::MulAdd(io.Load(x + i + 2 * lanes), io.Load(b + i + 2 * lanes), s2);
      s3 = hn::MulAdd(io.Load(x + i + 3 * lanes), io.Load(b + i + 3 * lanes), s3);
    }
    ForLanes(k - i, [&](auto part, size_t j)
                        HWY_ATTR { s0 = hn::MulAdd(part.Load(x + i + j), part.Load(b + i + j), s0); });
    c[row * stride] = Sum(hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)));
  }
}

template <class T>
HWY_INLINE void DotColumns(const T* a, int64_t m, const T* b, size_t k, float* c, size_t n, size_t begin,
                           size_t end) {
  for (size_t column = begin; column < end; ++column) Dots(a, m, b + column * k, k, c + column, n);
}

/// Columns [begin, end) of c = a b with b [K, N]: sums of b's rows.
template <class T>
HWY_INLINE void SumColumns(const T* a, int64_t m, const T* b, size_t k, float* c, size_t n, size_t begin,
                           size_t end) {
  for (int64_t row = 0; row < m; ++row) {
    ForLanes(end - begin, [&](auto io, size_t i) HWY_ATTR {
      Vec sum = hn::Zero(F32());
      for (size_t j = 0; j < k; ++j) {
        float scalar;
        if constexpr (sizeof(T) == 2) {
          scalar = ToFloat(a[row * k + j]);
        } else {
          scalar = a[row * k + j];
        }
        sum = hn::MulAdd(hn::Set(F32(), scalar), io.Load(b + j * n + begin + i), sum);
      }
      io.Store(sum, c + row * n + begin + i);
    });
  }
}

void DotColumnsF32(const float* a, int64_t m, const float* b, size_t k, float* c, size_t n, size_t begin,
                   size_t end) {
  DotColumns(a, m, b, k, c, n, begin, end);
}
void DotColumnsBf16(const Bf16* a, int64_t m, const Bf16* b, size_t k, float* c, size_t n, size_t begin,
                    size_t end) {
  DotColumns(a, m, b, k, c, n, begin, end);
}
void SumColumnsF32(const float* a, int64_t m, const float* b, size_t k, float* c, size_t n, size_t begin,
                   size_t end) {
  SumColumns(a, m, b, k, c, n, begin, end);
}
void SumColumnsBf16(const Bf16* a, int64_t m, const Bf16* b, size_t k, float* c, size_t n, size_t begin,
                    size_t end) {
  SumColumns(a, m, b, k, c, n, begin, end);
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(DotColumnsF32);
HWY_EXPORT(DotColumnsBf16);
HWY_EXPORT(SumColumnsF32);
HWY_EXPORT(SumColumnsBf16);

void FewRowsMatMul(const Tensor& a, const Tensor& b, bool transposed, const Tensor& c) {
  const int64_t m = c.dim(0), n = c.dim(1), k = a.size() / m;
  const auto columns = [&](int64_t begin, int64_t end) {
    if (a.dtype() == DType::kBf16) {
      const auto product =
          transposed ? HWY_DYNAMIC_DISPATCH(DotColumnsBf16) : HWY_DYNAMIC_DISPATCH(SumColumnsBf16);
      product(a.data<Bf16>(), m, b.data<Bf16>(), k, c.data(), n, begin, end);
    } else {
      const auto product =
          transposed ? HWY_DYNAMIC_DISPATCH(DotColumnsF32) : HWY_DYNAMIC_DISPATCH(SumColumnsF32);
      product(a.data(), m, b.data(), k, c.data(), n, begin, end);
    }
  };
  // Ranges of whole cache lines of c, so that where a range is cut does not change how a column is summed.
  constexpr int64_t kColumns = 64;
  const int64_t blocks = (n + kColumns - 1) / kColumns;
  constexpr int64_t kGrainProducts = 1 << 17;  // multiplications worth a thread
  ParallelFor(blocks, std::max<int64_t>(1, kGrainProducts / (k * kColumns)),
              [&](int64_t begin, int64_t end) { columns(begin * kColumns, std::min(n, end * kColumns)); });
}

}  // namespace linnet
#endif  // HWY_ONCE

// A row against many rows: products with each of them, and their weighted sum.
//
// Included once per target, hence the toggled guard.
#if defined(LINNET_KERNELS_CPU_ROW_SUMS_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LINNET_KERNELS_CPU_ROW_SUMS_H_
#undef LINNET_KERNELS_CPU_ROW_SUMS_H_
#else
#define LINNET_KERNELS_CPU_ROW_SUMS_H_
#endif

#include "kernels/cpu/simd.h"

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

/// out[j] = <x, rows[j]> for `count` rows of n elements.
HWY_INLINE void DotRows(const float* HWY_RESTRICT x, const float* HWY_RESTRICT rows, size_t count, size_t n,
                        float* HWY_RESTRICT out) {
  size_t j = 0;
  for (; j + 4 <= count; j += 4) {  // four sums that do not wait for each other
    const float* r = rows + j * n;
    Vec s0 = hn::Zero(F32()), s1 = s0, s2 = s0, s3 = s0;
    ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
      const Vec v = io.Load(x + i);
      s0 = hn::MulAdd(v, io.Load(r + i), s0);
      s1 = hn::MulAdd(v, io.Load(r + n + i), s1);
      s2 = hn::MulAdd(v, io.Load(r + 2 * n + i), s2);
      s3 = hn::MulAdd(v, io.Load(r + 3 * n + i), s3);
    });
    out[j] = Sum(s0), out[j + 1] = Sum(s1), out[j + 2] = Sum(s2), out[j + 3] = Sum(s3);
  }
  for (; j < count; ++j) {
    Vec sum = hn::Zero(F32());
    ForLanes(n, [&](auto io, size_t i)
                    HWY_ATTR { sum = hn::MulAdd(io.Load(x + i), io.Load(rows + j * n + i), sum); });
    out[j] = Sum(sum);
  }
}

/// y += sum_j weights[j * stride] rows[j] over `count` rows of n elements.
HWY_INLINE void AddWeightedRows(const float* HWY_RESTRICT weights, size_t stride,
                                const float* HWY_RESTRICT rows, size_t count, size_t n,
                                float* HWY_RESTRICT y) {
  const F32 d;
  size_t j = 0;
  for (; j + 4 <= count; j += 4) {  // y is loaded and stored once for four rows
    const float* r = rows + j * n;
    const Vec w0 = hn::Set(d, weights[j * stride]), w1 = hn::Set(d, weights[(j + 1) * stride]),
              w2 = hn::Set(d, weights[(j + 2) * stride]), w3 = hn::Set(d, weights[(j + 3) * stride]);
    ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
      Vec sum = hn::MulAdd(w0, io.Load(r + i), io.Load(y + i));
      sum = hn::MulAdd(w1, io.Load(r + n + i), sum);
      sum = hn::MulAdd(w2, io.Load(r + 2 * n + i), sum);
      io.Store(hn::MulAdd(w3, io.Load(r + 3 * n + i), sum), y + i);
    });
  }
  for (; j < count; ++j) {
    const Vec weight = hn::Set(d, weights[j * stride]);
    ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
      io.Store(hn::MulAdd(weight, io.Load(rows + j * n + i), io.Load(y + i)), y + i);
    });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();
#endif

// GroupNorm (LayerNorm is one group), forward and backward.
//
//   xhat = (x - mean) rstd,  y = xhat w + b,  rstd = 1 / sqrt(var + eps), var biased
//   dx = rstd (g - mean(g) - xhat mean(g xhat)),  g = dy w
#include <cmath>

#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/partial_sums.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/norm.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/simd.h"

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

struct Moments {
  float mean, rstd;
};

/// Two passes: the variance as a mean of squares minus a squared mean would lose the digits of a large mean.
HWY_INLINE Moments MomentsOf(const float* x, size_t n, float eps) {
  Vec sum = hn::Zero(F32());
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR { sum = hn::Add(sum, io.Load(x + i)); });
  const float mean = Sum(sum) / static_cast<float>(n);
  const Vec center = hn::Set(F32(), mean);
  Vec squares = hn::Zero(F32());
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec d = io.ZeroRest(hn::Sub(io.Load(x + i), center));
    squares = hn::MulAdd(d, d, squares);
  });
  return {mean, 1.0f / std::sqrt(Sum(squares) / static_cast<float>(n) + eps)};
}

/// One group of one row. Returns its moments.
Moments NormalizeGroup(const float* x, const float* w, const float* b, size_t n, float eps, float* y) {
  const Moments moments = MomentsOf(x, n, eps);
  const Vec mean = hn::Set(F32(), moments.mean), rstd = hn::Set(F32(), moments.rstd);
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec xhat = hn::Mul(hn::Sub(io.Load(x + i), mean), rstd);
    io.Store(hn::MulAdd(xhat, io.Load(w + i), io.Load(b + i)), y + i);
  });
  return moments;
}

void NormalizeGroupBackward(const float* x, const float* w, Moments moments, const float* dy, size_t n,
                            float* dx, float* dw, float* db) {
  const F32 d;
  const Vec mean = hn::Set(d, moments.mean), rstd = hn::Set(d, moments.rstd);
  Vec sum_g = hn::Zero(d), sum_gx = hn::Zero(d);
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec g = io.Load(dy + i), xhat = hn::Mul(hn::Sub(io.Load(x + i), mean), rstd),
              gw = hn::Mul(g, io.Load(w + i));
    sum_g = hn::Add(sum_g, gw);  // g is zero beyond the row
    sum_gx = hn::MulAdd(gw, xhat, sum_gx);
    io.Store(hn::MulAdd(g, xhat, io.Load(dw + i)), dw + i);
    io.Store(hn::Add(g, io.Load(db + i)), db + i);
  });
  const Vec mean_g = hn::Set(d, Sum(sum_g) / static_cast<float>(n));
  const Vec mean_gx = hn::Set(d, Sum(sum_gx) / static_cast<float>(n));
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec xhat = hn::Mul(hn::Sub(io.Load(x + i), mean), rstd),
              gw = hn::Mul(io.Load(dy + i), io.Load(w + i));
    io.Store(hn::Mul(rstd, hn::NegMulAdd(xhat, mean_gx, hn::Sub(gw, mean_g))), dx + i);
  });
}

void NormRows(const float* x, const float* w, const float* b, int64_t begin, int64_t end, int groups,
              size_t n, float eps, float* y, float* mean, float* rstd) {
  for (int64_t i = begin; i < end; ++i) {
    for (int g = 0; g < groups; ++g) {
      const size_t at = (i * groups + g) * n;
      const Moments moments = NormalizeGroup(x + at, w + g * n, b + g * n, n, eps, y + at);
      if (mean == nullptr) continue;
      mean[i * groups + g] = moments.mean;
      rstd[i * groups + g] = moments.rstd;
    }
  }
}

void NormRowsBackward(const float* x, const float* w, const float* mean, const float* rstd, const float* dy,
                      int64_t begin, int64_t end, int groups, size_t n, float* dx, float* dw, float* db) {
  for (int64_t i = begin; i < end; ++i) {
    for (int g = 0; g < groups; ++g) {
      const size_t at = (i * groups + g) * n;
      NormalizeGroupBackward(x + at, w + g * n, {mean[i * groups + g], rstd[i * groups + g]}, dy + at, n,
                             dx + at, dw + g * n, db + g * n);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(NormRows);
HWY_EXPORT(NormRowsBackward);

void CpuBackend::GroupNorm(const Tensor& x, const Tensor& w, const Tensor& b, int groups, float eps,
                           const Tensor& y, const Tensor& mean, const Tensor& rstd) {
  const int64_t width = w.size(), rows = x.size() / width;
  ParallelFor(rows, GrainRows(width), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(NormRows)
    (x.data(), w.data(), b.data(), begin, end, groups, width / groups, eps, y.data(),
     mean ? mean.data() : nullptr, rstd ? rstd.data() : nullptr);
  });
}

void CpuBackend::GroupNormBackward(const Tensor& x, const Tensor& w, const Tensor& mean, const Tensor& rstd,
                                   const Tensor& dy, const Tensor& dx, const Tensor& dw, const Tensor& db) {
  const int64_t width = w.size(), rows = x.size() / width;
  const int groups = static_cast<int>(mean.size() / rows);
  PartialSums sums(rows, GrainRows(width), {dw, db});
  ParallelParts(rows, sums.parts(), [&](int part, int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(NormRowsBackward)
    (x.data(), w.data(), mean.data(), rstd.data(), dy.data(), begin, end, groups, width / groups, dx.data(),
     sums.of(part, 0), sums.of(part, 1));
  });
  sums.AddUp();
}

}  // namespace linnet
#endif  // HWY_ONCE

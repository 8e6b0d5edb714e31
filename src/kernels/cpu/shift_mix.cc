// Token shift with interpolation: y_n = x_t + (x_{t-1} - x_t) mix_n for each n.
#include <array>

#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/partial_sums.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/shift_mix.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/simd.h"

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

void ShiftMixRow(const float* x, const float* previous, const float* const* mix, float* const* y, int count,
                 size_t n) {
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec now = io.Load(x + i), delta = hn::Sub(io.Load(previous + i), now);
    for (int m = 0; m < count; ++m) io.Store(hn::MulAdd(delta, io.Load(mix[m] + i), now), y[m] + i);
  });
}

/// dx_t = sum_n dy_n,t (1 - mix_n) + dy_n,t+1 mix_n, where `next` is 1 if row t + 1 follows in the sequence,
/// else 0; dmix_n += dy_n,t (x_{t-1} - x_t).
void ShiftMixBackwardRow(const float* x, const float* previous, const float* const* mix,
                         const float* const* dy, int count, size_t n, bool next, float* dx,
                         float* const* dmix) {
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec delta = hn::Sub(io.Load(previous + i), io.Load(x + i));
    Vec sum = hn::Zero(F32());
    for (int m = 0; m < count; ++m) {
      const Vec g = io.Load(dy[m] + i), share = io.Load(mix[m] + i);
      sum = hn::Add(sum, hn::NegMulAdd(g, share, g));
      if (next) sum = hn::MulAdd(io.Load(dy[m] + n + i), share, sum);
      io.Store(hn::MulAdd(g, delta, io.Load(dmix[m] + i)), dmix[m] + i);
    }
    io.Store(sum, dx + i);
  });
}

/// dstate += sum_n dy_n mix_n, of a sequence's first row.
void ShiftMixStateBackward(const float* const* mix, const float* const* dy, int count, size_t n,
                           float* dstate) {
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    Vec sum = io.Load(dstate + i);
    for (int m = 0; m < count; ++m) sum = hn::MulAdd(io.Load(dy[m] + i), io.Load(mix[m] + i), sum);
    io.Store(sum, dstate + i);
  });
}

void AddRow(const float* x, float* y, size_t n) {
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR { io.Store(hn::Add(io.Load(x + i), io.Load(y + i)), y + i); });
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(ShiftMixRow);
HWY_EXPORT(ShiftMixBackwardRow);
HWY_EXPORT(ShiftMixStateBackward);
HWY_EXPORT(AddRow);

namespace {

constexpr int kMaxMixes = 8;
using Rows = std::array<float*, kMaxMixes>;

/// Row `t` of each tensor (row 0 of a vector of parameters).
Rows RowsOf(std::span<const Tensor> tensors, int64_t t, int64_t width) {
  Rows rows{};
  for (size_t m = 0; m < tensors.size(); ++m) rows[m] = tensors[m].data() + t * width;
  return rows;
}

}  // namespace

void CpuBackend::ShiftMix(const Tensor& x, std::span<const Tensor> mix, const Sequences& sequences,
                          const StateRef& state, std::span<const Tensor> ys) {
  const int64_t width = x.dim(1);
  const Rows weights = RowsOf(mix, 0, width);
  const auto rows = [&](int s, int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const float* now = x.data() + t * width;
      const float* previous =
          t == sequences.start[s] ? state.in.data() + sequences.slot[s] * width : now - width;
      HWY_DYNAMIC_DISPATCH(ShiftMixRow)
      (now, previous, weights.data(), RowsOf(ys, t, width).data(), static_cast<int>(mix.size()), width);
    }
  };
  for (int s = 0; s < sequences.sequences(); ++s) {
    const int64_t first = sequences.start[s], length = sequences.length(s);
    ParallelFor(length, GrainRows(width),
                [&](int64_t begin, int64_t end) { rows(s, first + begin, first + end); });
    std::memcpy(state.out.data() + sequences.slot[s] * width, x.data() + (first + length - 1) * width,
                width * sizeof(float));
  }
}

void CpuBackend::ShiftMixBackward(const Tensor& x, std::span<const Tensor> mix, const Sequences& sequences,
                                  const Tensor& state_in, std::span<const Tensor> dys, const Tensor& dlast,
                                  const Tensor& dx, std::span<const Tensor> dmix, const Tensor& dstate) {
  const int64_t width = x.dim(1);
  const int count = static_cast<int>(mix.size());
  const Rows weights = RowsOf(mix, 0, width);
  for (int s = 0; s < sequences.sequences(); ++s) {
    const int64_t first = sequences.start[s], length = sequences.length(s), slot = sequences.slot[s];
    PartialSums sums(length, GrainRows(width), std::vector<Tensor>(dmix.begin(), dmix.end()));
    ParallelParts(length, sums.parts(), [&](int part, int64_t begin, int64_t end) {
      Rows dweights{};
      for (int m = 0; m < count; ++m) dweights[m] = sums.of(part, m);
      for (int64_t t = first + begin; t < first + end; ++t) {
        const float* now = x.data() + t * width;
        const float* previous = t == first ? state_in.data() + slot * width : now - width;
        HWY_DYNAMIC_DISPATCH(ShiftMixBackwardRow)
        (now, previous, weights.data(), RowsOf(dys, t, width).data(), count, width, t + 1 < first + length,
         dx.data() + t * width, dweights.data());
      }
    });
    sums.AddUp();
    if (dlast) {
      HWY_DYNAMIC_DISPATCH(AddRow)
      (dlast.data() + slot * width, dx.data() + (first + length - 1) * width, width);
    }
    if (dstate) {
      HWY_DYNAMIC_DISPATCH(ShiftMixStateBackward)
      (weights.data(), RowsOf(dys, first, width).data(), count, width, dstate.data() + slot * width);
    }
  }
}

}  // namespace linnet
#endif  // HWY_ONCE

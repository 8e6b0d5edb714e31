// Token shift with interpolation: y_n = x_t + (x_{t-1} - x_t) p_n for each n, where the share p_n of the row
// before is a mix or 1 minus it.
#include <array>

#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/partial_sums.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/shift_mix.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/simd.h"

#ifndef LINNET_KERNELS_CPU_SHIFT_MIX_ONCE
#define LINNET_KERNELS_CPU_SHIFT_MIX_ONCE
namespace linnet {

/// The share of the row before: base + slope * mix.
struct ShareLine {
  float base, slope;
};

inline constexpr int kMaxMixes = 8;
using Rows = std::array<float*, kMaxMixes>;

/// One row: pointers to its first channel in each tensor.
struct ShiftMixRows {
  const float *x, *previous;
  Rows mix, next_mix;  // next_mix: that of the row after, in the backward pass
  int count;
  size_t n;
};

}  // namespace linnet
#endif

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

HWY_INLINE Vec ShareOf(ShareLine line, Vec mix) {
  return hn::MulAdd(hn::Set(F32(), line.slope), mix, hn::Set(F32(), line.base));
}

void ShiftMixRow(const ShiftMixRows& row, ShareLine line, const Rows& y) {
  ForLanes(row.n, [&](auto io, size_t i) HWY_ATTR {
    const Vec now = io.Load(row.x + i), delta = hn::Sub(io.Load(row.previous + i), now);
    for (int m = 0; m < row.count; ++m) {
      io.Store(hn::MulAdd(delta, ShareOf(line, io.Load(row.mix[m] + i)), now), y[m] + i);
    }
  });
}

/// dx_t = sum_n dy_n,t (1 - p_n,t) + dy_n,t+1 p_n,t+1, where `next` says whether row t + 1 follows in the
/// sequence; dmix_n += dy_n,t (x_{t-1} - x_t) dp/dmix.
void ShiftMixBackwardRow(const ShiftMixRows& row, ShareLine line, const Rows& dy, bool next, float* dx,
                         const Rows& dmix) {
  const Vec slope = hn::Set(F32(), line.slope);
  ForLanes(row.n, [&](auto io, size_t i) HWY_ATTR {
    const Vec delta = hn::Mul(slope, hn::Sub(io.Load(row.previous + i), io.Load(row.x + i)));
    Vec sum = hn::Zero(F32());
    for (int m = 0; m < row.count; ++m) {
      const Vec g = io.Load(dy[m] + i);
      sum = hn::Add(sum, hn::NegMulAdd(g, ShareOf(line, io.Load(row.mix[m] + i)), g));
      if (next) {
        const Vec share = ShareOf(line, io.Load(row.next_mix[m] + i));
        sum = hn::MulAdd(io.Load(dy[m] + row.n + i), share, sum);
      }
      io.Store(hn::MulAdd(g, delta, io.Load(dmix[m] + i)), dmix[m] + i);
    }
    io.Store(sum, dx + i);
  });
}

/// dstate += sum_n dy_n p_n, of a sequence's first row.
void ShiftMixStateBackward(const ShiftMixRows& row, ShareLine line, const Rows& dy, float* dstate) {
  ForLanes(row.n, [&](auto io, size_t i) HWY_ATTR {
    Vec sum = io.Load(dstate + i);
    for (int m = 0; m < row.count; ++m) {
      sum = hn::MulAdd(io.Load(dy[m] + i), ShareOf(line, io.Load(row.mix[m] + i)), sum);
    }
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

ShareLine LineOf(MixShare share) { return share == MixShare::kPrevious ? ShareLine{0, 1} : ShareLine{1, -1}; }

bool OfEachRow(const Tensor& mix, int64_t width) { return mix.size() > width; }

/// Row `t` of each tensor; row 0 of those that are the same for all rows.
Rows RowsOf(std::span<const Tensor> tensors, int64_t t, int64_t width) {
  Rows rows{};
  for (size_t m = 0; m < tensors.size(); ++m) {
    rows[m] = tensors[m].data() + (OfEachRow(tensors[m], width) ? t * width : 0);
  }
  return rows;
}

/// Row t of sequence s.
ShiftMixRows RowOf(const Tensor& x, std::span<const Tensor> mix, const Sequences& sequences,
                   const Tensor& state_in, int s, int64_t t) {
  const int64_t width = x.dim(1), next = t + 1 < sequences.start[s + 1] ? t + 1 : t;
  const float* now = x.data() + t * width;
  return {now,
          t == sequences.start[s] ? state_in.data() + sequences.slot[s] * width : now - width,
          RowsOf(mix, t, width),
          RowsOf(mix, next, width),
          static_cast<int>(mix.size()),
          static_cast<size_t>(width)};
}

}  // namespace

void CpuBackend::ShiftMix(const Tensor& x, std::span<const Tensor> mix, MixShare share,
                          const Sequences& sequences, const StateRef& state, std::span<const Tensor> ys) {
  const int64_t width = x.dim(1);
  for (int s = 0; s < sequences.sequences(); ++s) {
    const int64_t first = sequences.start[s], length = sequences.length(s);
    ParallelFor(length, GrainRows(width), [&](int64_t begin, int64_t end) {
      for (int64_t t = first + begin; t < first + end; ++t) {
        HWY_DYNAMIC_DISPATCH(ShiftMixRow)
        (RowOf(x, mix, sequences, state.in, s, t), LineOf(share), RowsOf(ys, t, width));
      }
    });
    if (!state.out) continue;
    std::memcpy(state.out.data() + sequences.slot[s] * width, x.data() + (first + length - 1) * width,
                width * sizeof(float));
  }
}

void CpuBackend::ShiftMixBackward(const Tensor& x, std::span<const Tensor> mix, MixShare share,
                                  const Sequences& sequences, const Tensor& state_in,
                                  std::span<const Tensor> dys, const Tensor& dlast, const Tensor& dx,
                                  std::span<const Tensor> dmix, const Tensor& dstate) {
  const int64_t width = x.dim(1);
  const ShareLine line = LineOf(share);
  std::vector<Tensor> summed;  // the gradients that rows add up to
  for (const Tensor& d : dmix) {
    if (!OfEachRow(d, width)) summed.push_back(d);
  }
  for (int s = 0; s < sequences.sequences(); ++s) {
    const int64_t first = sequences.start[s], length = sequences.length(s), slot = sequences.slot[s];
    PartialSums sums(length, GrainRows(width), summed);
    ParallelParts(length, sums.parts(), [&](int part, int64_t begin, int64_t end) {
      for (int64_t t = first + begin; t < first + end; ++t) {
        Rows dweights = RowsOf(dmix, t, width);
        for (size_t m = 0, index = 0; m < dmix.size(); ++m) {
          if (!OfEachRow(dmix[m], width)) dweights[m] = sums.of(part, static_cast<int>(index++));
        }
        HWY_DYNAMIC_DISPATCH(ShiftMixBackwardRow)
        (RowOf(x, mix, sequences, state_in, s, t), line, RowsOf(dys, t, width), t + 1 < first + length,
         dx.data() + t * width, dweights);
      }
    });
    sums.AddUp();
    if (dlast) {
      HWY_DYNAMIC_DISPATCH(AddRow)
      (dlast.data() + slot * width, dx.data() + (first + length - 1) * width, width);
    }
    if (dstate) {
      HWY_DYNAMIC_DISPATCH(ShiftMixStateBackward)
      (RowOf(x, mix, sequences, state_in, s, first), line, RowsOf(dys, first, width),
       dstate.data() + slot * width);
    }
  }
}

}  // namespace linnet
#endif  // HWY_ONCE

// The recurrence of SRU with the state in its gates, forward and backward. Per channel, with c the state
// before:
//
//     f = sigmoid(z_f + v_f c)    c' = f c + (1 - f) x~     r = sigmoid(z_r + v_r c)    h = r c' + (1 - r) s
//
// The gates see c, so this is no scan: rows come one after the other, but channels and sequences are shared
// out among the threads, and one pass over memory does it all. Backward makes the gates again from the
// states.
#include "kernels/cpu/channels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/sru.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/simd.h"

#ifndef LINNET_KERNELS_CPU_SRU_ONCE
#define LINNET_KERNELS_CPU_SRU_ONCE
namespace linnet {

/// n channels of one row; c is the state before.
struct SruRow {
  const float *x, *z_f, *z_r, *skip, *v_f, *v_r, *c;
  size_t n;
};

struct SruRowGradients {
  const float* dh;
  float *dx, *dz_f, *dz_r, *dskip, *dv_f, *dv_r;  // dv_f, dv_r +=
  float* carried;                                 // dL/dc' before, dL/dc after
};

}  // namespace linnet
#endif

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

void SruForwardRow(const SruRow& row, float* next, float* h) {
  ForLanes(row.n, [&](auto io, size_t i) HWY_ATTR {
    const Vec c = io.Load(row.c + i), x = io.Load(row.x + i), skip = io.Load(row.skip + i);
    const Vec f = Sigmoid(hn::MulAdd(io.Load(row.v_f + i), c, io.Load(row.z_f + i)));
    const Vec r = Sigmoid(hn::MulAdd(io.Load(row.v_r + i), c, io.Load(row.z_r + i)));
    const Vec after = hn::MulAdd(f, hn::Sub(c, x), x);
    io.Store(after, next + i);
    io.Store(hn::MulAdd(r, hn::Sub(after, skip), skip), h + i);
  });
}

void SruBackwardRow(const SruRow& row, const float* next, const SruRowGradients& d) {
  const Vec one = hn::Set(F32(), 1.0f);
  ForLanes(row.n, [&](auto io, size_t i) HWY_ATTR {
    const Vec c = io.Load(row.c + i), x = io.Load(row.x + i), after = io.Load(next + i);
    const Vec v_f = io.Load(row.v_f + i), v_r = io.Load(row.v_r + i), dh = io.Load(d.dh + i);
    const Vec f = Sigmoid(hn::MulAdd(v_f, c, io.Load(row.z_f + i)));
    const Vec r = Sigmoid(hn::MulAdd(v_r, c, io.Load(row.z_r + i)));
    const Vec through = hn::Mul(dh, r), g = hn::Add(io.Load(d.carried + i), through);
    const Vec dz_r = hn::Mul(hn::Mul(through, hn::Sub(one, r)), hn::Sub(after, io.Load(row.skip + i)));
    const Vec kept = hn::Mul(g, f), fresh = hn::Sub(g, kept);
    const Vec dz_f = hn::Mul(hn::Mul(fresh, f), hn::Sub(c, x));
    io.Store(fresh, d.dx + i);
    io.Store(dz_f, d.dz_f + i);
    io.Store(dz_r, d.dz_r + i);
    io.Store(hn::Sub(dh, through), d.dskip + i);
    io.Store(hn::MulAdd(dz_f, c, io.Load(d.dv_f + i)), d.dv_f + i);
    io.Store(hn::MulAdd(dz_r, c, io.Load(d.dv_r + i)), d.dv_r + i);
    io.Store(hn::MulAdd(dz_f, v_f, hn::MulAdd(dz_r, v_r, kept)), d.carried + i);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(SruForwardRow);
HWY_EXPORT(SruBackwardRow);

namespace {

constexpr int64_t kCost = 8;  // a row's gates take as long as some eight sums

/// Channels [first, first + n) of row t, with the state at `c`.
SruRow RowOf(const SruInputs& in, int64_t t, int64_t first, int64_t n, const float* c) {
  const int64_t at = t * in.x.dim(1) + first;
  return {in.x.data() + at,
          in.z_f.data() + at,
          in.z_r.data() + at,
          in.skip.data() + at,
          in.v_f.data() + first,
          in.v_r.data() + first,
          c,
          static_cast<size_t>(n)};
}

}  // namespace

void CpuBackend::Sru(const SruInputs& in, const Sequences& sequences, const StateRef& state, const Tensor& c,
                     const Tensor& h) {
  const int64_t width = in.x.dim(1);
  ForChannels(sequences, in.x.dim(0), width, kCost, [&](int64_t s, int64_t first, int64_t n) {
    const int64_t slot_at = sequences.slot[s] * width + first;
    const float* before = state.in.data() + slot_at;
    for (int64_t t = sequences.start[s]; t < sequences.start[s + 1]; ++t) {
      const int64_t at = t * width + first;
      HWY_DYNAMIC_DISPATCH(SruForwardRow)(RowOf(in, t, first, n, before), c.data() + at, h.data() + at);
      before = c.data() + at;
    }
    std::copy_n(before, n, state.out.data() + slot_at);
  });
}

void CpuBackend::SruBackward(const SruInputs& in, const Sequences& sequences, const Tensor& state_in,
                             const Tensor& c, const Tensor& dh, const Tensor& dstate_out, const SruInputs& d,
                             const Tensor& dstate_in) {
  const int64_t width = in.x.dim(1);
  const Tensor carried = Tensor::Zeros({sequences.sequences(), width});
  for (const Tensor& sum : {d.v_f, d.v_r}) std::fill_n(sum.data(), sum.size(), 0.0f);
  ForChannels(sequences, in.x.dim(0), width, kCost, [&](int64_t s, int64_t first, int64_t n) {
    const int64_t slot_at = sequences.slot[s] * width + first, sum_at = s * width + first;
    if (dstate_out) std::copy_n(dstate_out.data() + slot_at, n, carried.data() + sum_at);
    for (int64_t t = sequences.start[s + 1]; t-- > sequences.start[s];) {
      const int64_t at = t * width + first;
      const float* before = t == sequences.start[s] ? state_in.data() + slot_at : c.data() + at - width;
      HWY_DYNAMIC_DISPATCH(SruBackwardRow)
      (RowOf(in, t, first, n, before), c.data() + at,
       {dh.data() + at, d.x.data() + at, d.z_f.data() + at, d.z_r.data() + at, d.skip.data() + at,
        d.v_f.data() + sum_at, d.v_r.data() + sum_at, carried.data() + sum_at});
    }
    for (int64_t i = 0; i < n && dstate_in; ++i) dstate_in.data()[slot_at + i] += carried.data()[sum_at + i];
  });
}

}  // namespace linnet
#endif  // HWY_ONCE

// The WKV-4 recurrence, forward and backward. Channels are independent of each other, so each vector of them
// walks along time by itself.
//
// With D = -exp(w) (the logarithm of the decay) and a state A = a e^p, B = b e^p:
//
//     q = max(p, u + k)    y = (e^{p - q} a + e^{u + k - q} v) / (e^{p - q} b + e^{u + k - q})
//     p' = max(p + D, k)   a' = e^{p + D - p'} a + e^{k - p'} v    b' = e^{p + D - p'} b + e^{k - p'}
//
// No exponent is ever positive, so keys of any size are safe. Backward, from the last step to the first, with
// the gradients of A and B likewise held as ga e^g, gb e^g, and n the denominator of y as it is written
// above:
//
//     dL/dA_{t-1} = e^D dL/dA_t + dy / (e^q n)      dL/dB_{t-1} = e^D dL/dB_t - dy y / (e^q n)
//
// g is the maximum of its terms' exponents too, and as a later q is at least k plus the decays in between, k
// + g and p + D + g never exceed 0. States are kept at the borders of chunks and the steps within run again.
#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/wkv4.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/simd.h"

#ifndef LINNET_KERNELS_CPU_WKV4_ONCE
#define LINNET_KERNELS_CPU_WKV4_ONCE
namespace linnet {

inline constexpr size_t kWkv4Chunk = 32;

/// Some channels of one sequence; all pointers are at their first channel (and the sequence's first row).
struct Wkv4Part {
  const float *k, *v, *w, *u;
  size_t width, n, length;
  const float* state_in;  // three rows: a, b, p
  float* state_out;
  float* snapshots;  // of three rows each; null unless a backward pass is to come
};

struct Wkv4PartGradients {
  const float *dy, *dstate_out;  // dstate_out may be null
  float *dk, *dv, *dw, *du;
  float* dstate_in;  // += ; or null
};

}  // namespace linnet
#endif

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

/// a e^p and b e^p.
struct Sums {
  Vec a, b, p;
};

template <class Io>
HWY_INLINE Sums LoadSums(Io io, const float* rows, size_t width, size_t i) {
  return {io.Load(rows + i), io.Load(rows + width + i), io.Load(rows + 2 * width + i)};
}

template <class Io>
HWY_INLINE void StoreSums(Io io, const Sums& sums, float* rows, size_t width, size_t i) {
  io.Store(sums.a, rows + i);
  io.Store(sums.b, rows + width + i);
  io.Store(sums.p, rows + 2 * width + i);
}

/// e^{x - top} and e^{y - top} with top = max(x, y).
struct Balance {
  Vec x, y, top;
};

HWY_INLINE Balance Balanced(Vec x, Vec y) {
  const Vec one = hn::Set(F32(), 1.0f), smaller = hn::Exp(F32(), hn::Neg(hn::Abs(hn::Sub(x, y))));
  const auto x_is_top = hn::Ge(x, y);
  return {hn::IfThenElse(x_is_top, one, smaller), hn::IfThenElse(x_is_top, smaller, one), hn::Max(x, y)};
}

/// The state after a token; `shrink` is D.
HWY_INLINE Sums Step(const Sums& s, Vec shrink, Vec k, Vec v) {
  const Balance e = Balanced(hn::Add(s.p, shrink), k);
  return {hn::MulAdd(e.x, s.a, hn::Mul(e.y, v)), hn::MulAdd(e.x, s.b, e.y), e.top};
}

HWY_INLINE Vec Shrink(Vec w) { return hn::Neg(hn::Exp(F32(), w)); }

void Wkv4ForwardPart(const Wkv4Part& part, float* y) {
  const size_t width = part.width;
  ForLanes(part.n, [&](auto io, size_t i) HWY_ATTR {
    const Vec u = io.Load(part.u + i), shrink = Shrink(io.Load(part.w + i));
    Sums state = LoadSums(io, part.state_in, width, i);
    for (size_t t = 0; t < part.length; ++t) {
      if (part.snapshots != nullptr && t % kWkv4Chunk == 0) {
        StoreSums(io, state, part.snapshots + t / kWkv4Chunk * 3 * width, width, i);
      }
      const Vec k = io.Load(part.k + t * width + i), v = io.Load(part.v + t * width + i);
      const Balance e = Balanced(state.p, hn::Add(u, k));
      const Vec over = hn::MulAdd(e.x, state.a, hn::Mul(e.y, v)), under = hn::MulAdd(e.x, state.b, e.y);
      io.Store(hn::Div(over, under), y + t * width + i);
      state = Step(state, shrink, k, v);
    }
    StoreSums(io, state, part.state_out, width, i);
  });
}

/// What the backward pass carries from step to step.
struct Wkv4Carry {
  Sums g;          // ga, gb and their exponent
  Vec dp;          // dL/dp of the state that is left, on its way to the key that set p
  Vec dlog_d, du;  // sums over the steps
};

/// One step back. `s` is the state before the token.
template <class Io>
HWY_INLINE void StepBack(Io io, const Sums& s, Vec shrink, Vec u, const Wkv4Part& part,
                         const Wkv4PartGradients& d, size_t at, Wkv4Carry& c) {
  const Vec k = io.Load(part.k + at), v = io.Load(part.v + at);
  const Balance e = Balanced(s.p, hn::Add(u, k));
  const Vec under = hn::MulAdd(e.x, s.b, e.y);
  const Vec y = hn::Div(hn::MulAdd(e.x, s.a, hn::Mul(e.y, v)), under);
  const Vec share = hn::Div(io.Load(d.dy + at), under);  // dy / n

  const Vec p_shrunk = hn::Add(s.p, shrink);
  const auto p_came_from_before = hn::Ge(p_shrunk, k);
  const Vec fresh = hn::Exp(F32(), hn::Add(k, c.g.p)), old = hn::Exp(F32(), hn::Add(p_shrunk, c.g.p));
  const Vec bonus = hn::Mul(hn::Mul(share, e.y), hn::Sub(v, y));
  const Vec kept = hn::Mul(fresh, hn::MulAdd(v, c.g.a, c.g.b));
  io.Store(hn::MulAdd(share, e.y, hn::Mul(fresh, c.g.a)), d.dv + at);
  io.Store(hn::Add(hn::Add(bonus, kept), hn::IfThenZeroElse(p_came_from_before, c.dp)), d.dk + at);
  c.du = hn::Add(c.du, bonus);
  c.dp = hn::IfThenElseZero(p_came_from_before, c.dp);
  c.dlog_d = hn::Add(hn::MulAdd(old, hn::MulAdd(s.a, c.g.a, hn::Mul(s.b, c.g.b)), c.dlog_d), c.dp);

  const Balance b = Balanced(hn::Add(c.g.p, shrink), hn::Neg(e.top));
  const Vec added = hn::Mul(b.y, share);
  c.g = {hn::MulAdd(b.x, c.g.a, added), hn::NegMulAdd(added, y, hn::Mul(b.x, c.g.b)), b.top};
}

void Wkv4BackwardPart(const Wkv4Part& part, const Wkv4PartGradients& d) {
  const size_t width = part.width;
  ForLanes(part.n, [&](auto io, size_t i) HWY_ATTR {
    const Vec zero = hn::Zero(F32()), u = io.Load(part.u + i), shrink = Shrink(io.Load(part.w + i));
    Wkv4Carry carry{{zero, zero, hn::Set(F32(), -1e38f)}, zero, zero, zero};
    if (d.dstate_out != nullptr) {
      const Sums last = LoadSums(io, part.state_out, width, i), ds = LoadSums(io, d.dstate_out, width, i);
      carry.g = {ds.a, ds.b, hn::Neg(last.p)};
      carry.dp = hn::NegMulAdd(last.a, ds.a, hn::NegMulAdd(last.b, ds.b, ds.p));
    }
    Sums states[kWkv4Chunk];
    for (size_t chunk = (part.length + kWkv4Chunk - 1) / kWkv4Chunk; chunk-- > 0;) {
      const size_t first = chunk * kWkv4Chunk, rows = std::min(kWkv4Chunk, part.length - first);
      states[0] = LoadSums(io, part.snapshots + chunk * 3 * width, width, i);
      for (size_t t = 0; t + 1 < rows; ++t) {
        const size_t at = (first + t) * width + i;
        states[t + 1] = Step(states[t], shrink, io.Load(part.k + at), io.Load(part.v + at));
      }
      for (size_t t = rows; t-- > 0;) {
        StepBack(io, states[t], shrink, u, part, d, (first + t) * width + i, carry);
      }
    }
    io.Store(hn::MulAdd(carry.dlog_d, shrink, io.Load(d.dw + i)), d.dw + i);
    io.Store(hn::Add(carry.du, io.Load(d.du + i)), d.du + i);
    if (d.dstate_in == nullptr) return;
    const Sums start = LoadSums(io, part.state_in, width, i), ds = LoadSums(io, d.dstate_in, width, i);
    const Vec scale = hn::Exp(F32(), hn::Add(start.p, carry.g.p));
    const Vec da = hn::Mul(scale, carry.g.a), db = hn::Mul(scale, carry.g.b);
    const Vec dp = hn::MulAdd(start.a, da, hn::MulAdd(start.b, db, carry.dp));
    StoreSums(io, {hn::Add(ds.a, da), hn::Add(ds.b, db), hn::Add(ds.p, dp)}, d.dstate_in, width, i);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(Wkv4ForwardPart);
HWY_EXPORT(Wkv4BackwardPart);

namespace {

int64_t Chunks(int64_t length) {
  return (length + static_cast<int64_t>(kWkv4Chunk) - 1) / static_cast<int64_t>(kWkv4Chunk);
}

/// Calls body(part, row * C + channel, slot * 3 C + channel) for every sequence, channels shared out among
/// the threads: sums over sequences need no others then.
template <class Body>
void ForParts(const Wkv4Inputs& in, const Sequences& sequences, const StateRef& state,
              const Tensor& snapshots, const Body& body) {
  const int64_t width = in.k.dim(1);
  constexpr int64_t kUnit = 16, kGrainSteps = 1 << 13;  // a step of a channel takes a few nanoseconds
  const int64_t units = (width + kUnit - 1) / kUnit;
  ParallelFor(units, std::max<int64_t>(1, kGrainSteps / (in.k.dim(0) * kUnit)),
              [&](int64_t begin, int64_t end) {
                const int64_t first = begin * kUnit, n = std::min(end * kUnit, width) - first;
                int64_t chunks = 0;
                for (int s = 0; s < sequences.sequences(); ++s) {
                  const int64_t at = sequences.start[s] * width + first;
                  const int64_t state_at = sequences.slot[s] * 3 * width + first;
                  body(Wkv4Part{in.k.data() + at, in.v.data() + at, in.w.data() + first, in.u.data() + first,
                                static_cast<size_t>(width), static_cast<size_t>(n),
                                static_cast<size_t>(sequences.length(s)), state.in.data() + state_at,
                                state.out.data() + state_at,
                                snapshots ? snapshots.data() + chunks * 3 * width + first : nullptr},
                       first, at, state_at);
                  chunks += Chunks(sequences.length(s));
                }
              });
}

}  // namespace

int CpuBackend::Wkv4Snapshots(const Sequences& sequences) const {
  int64_t count = 0;
  for (int s = 0; s < sequences.sequences(); ++s) count += Chunks(sequences.length(s));
  return static_cast<int>(count);
}

void CpuBackend::Wkv4Forward(const Wkv4Inputs& in, const Sequences& sequences, const StateRef& state,
                             const Tensor& y, const Tensor& snapshots) {
  ForParts(in, sequences, state, snapshots, [&](const Wkv4Part& part, int64_t, int64_t at, int64_t) {
    HWY_DYNAMIC_DISPATCH(Wkv4ForwardPart)(part, y.data() + at);
  });
}

void CpuBackend::Wkv4Backward(const Wkv4Inputs& in, const Tensor& snapshots, const Sequences& sequences,
                              const StateRef& state, const Tensor& dy, const Tensor& dstate_out,
                              const Wkv4Inputs& d, const Tensor& dstate_in) {
  ForParts(in, sequences, state, snapshots,
           [&](const Wkv4Part& part, int64_t channel, int64_t at, int64_t state_at) {
             HWY_DYNAMIC_DISPATCH(Wkv4BackwardPart)
             (part, {dy.data() + at, dstate_out ? dstate_out.data() + state_at : nullptr, d.k.data() + at,
                     d.v.data() + at, d.w.data() + channel, d.u.data() + channel,
                     dstate_in ? dstate_in.data() + state_at : nullptr});
           });
}

}  // namespace linnet
#endif  // HWY_ONCE

// The recurrence of a state space whose matrix is diagonal plus low rank, one a feature, forward and
// backward. Feature h has M complex modes, and M more that are their conjugates:
//
//     s_t = 2 Re sum_m p[m] x_{t-1}[m]      x_t[m] = a[m] x_{t-1}[m] - q[m] s_t + b[m] u_t
//     y_t = 2 Re sum_m c[m] x_t[m]
//
// Neighbouring features lie in the lanes of a vector, as in state_space.cc. Backward, with p* the conjugate
// and g_t[m] the gradient of x_t[m]:
//
//     g_t = 2 c* dy_t + a* g_{t+1} + 2 p* r_{t+1}      r_t = -Re sum_m q* g_t      du_t = Re sum_m b* g_t
//     da += x*_{t-1} g_t    dp += 2 x*_{t-1} r_t    dq -= s_t g_t    db += u_t g_t    dc += 2 x*_t dy_t
//
// The states are kept at the borders of chunks, and computed again within one.
#include <vector>

#include "kernels/cpu/feature_parts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/dplr_recurrence.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/simd.h"

#ifndef LINNET_KERNELS_CPU_DPLR_RECURRENCE_ONCE
#define LINNET_KERNELS_CPU_DPLR_RECURRENCE_ONCE
namespace linnet {

/// n features of one sequence. What has modes is [2, M, H]: real parts, then imaginary ones.
struct DplrPart {
  const float *u, *a, *p, *q, *b, *c;
  size_t modes, width, n, length;
  const float* state_in;
  float *state_out, *y;
  float* snapshots;  // a state a chunk; null unless a backward pass is to come
};

struct DplrPartGradients {
  const float* dy;
  float *du, *da, *dp, *dq, *db, *dc;  // all but du are +=
  float* g;  // [2, M, H]: the gradient of the last state at first, of the first at last
};

}  // namespace linnet
#endif

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

/// The real part of sum_m x_m y_m, in two sums, as one alone would wait for its own last term.
struct RealSum {
  Vec re, im;
  HWY_INLINE RealSum() : re(hn::Zero(F32())), im(hn::Zero(F32())) {}
  HWY_INLINE void Add(const Complex& x, const Complex& y) {
    re = hn::MulAdd(x.re, y.re, re);
    im = hn::MulAdd(x.im, y.im, im);
  }
  HWY_INLINE Vec Value() const { return hn::Sub(re, im); }
  HWY_INLINE Vec Twice() const { return hn::Add(Value(), Value()); }
};

HWY_INLINE Complex Times(Vec factor, const Complex& z) {
  return {hn::Mul(factor, z.re), hn::Mul(factor, z.im)};
}
/// sum + factor z
HWY_INLINE Complex MulAdd(Vec factor, const Complex& z, const Complex& sum) {
  return {hn::MulAdd(factor, z.re, sum.re), hn::MulAdd(factor, z.im, sum.im)};
}

/// a x - q s + b u of one mode, at `at`.
template <class Io>
HWY_INLINE Complex NextState(Io io, const DplrPart& part, size_t at, const Complex& x, Vec s, Vec u) {
  const size_t imaginary = part.modes * part.width;
  const Complex arrived = MulAdd(hn::Neg(s), LoadComplex(io, part.q + at, imaginary),
                                 Times(u, LoadComplex(io, part.b + at, imaginary)));
  return MulAdd(LoadComplex(io, part.a + at, imaginary), x, arrived);
}

void DplrForward(const DplrPart& part) {
  const size_t planes = part.modes * part.width;
  float* state = part.state_out;
  if (state != part.state_in) {
    for (size_t row = 0; row < 2 * part.modes; ++row) {
      std::memcpy(state + row * part.width, part.state_in + row * part.width, part.n * sizeof(float));
    }
  }
  ForLanes(part.n, [&](auto io, size_t i) HWY_ATTR {
    RealSum low_rank;
    for (size_t at = i; at < planes; at += part.width) {
      low_rank.Add(LoadComplex(io, part.p + at, planes), LoadComplex(io, state + at, planes));
    }
    for (size_t t = 0; t < part.length; ++t) {
      if (part.snapshots != nullptr && t % kStateChunk == 0) {
        float* kept = part.snapshots + t / kStateChunk * 2 * planes + i;
        for (size_t at = 0; at < 2 * planes; at += part.width) io.Store(io.Load(state + i + at), kept + at);
      }
      const Vec u = io.Load(part.u + t * part.width + i), s = low_rank.Twice();
      RealSum y;
      low_rank = RealSum();
      for (size_t at = i; at < planes; at += part.width) {
        const Complex x = NextState(io, part, at, LoadComplex(io, state + at, planes), s, u);
        StoreComplex(io, x, state + at, planes);
        y.Add(LoadComplex(io, part.c + at, planes), x);
        low_rank.Add(LoadComplex(io, part.p + at, planes), x);
      }
      io.Store(y.Twice(), part.y + t * part.width + i);
    }
  });
}

/// The states of a chunk, before its first row and after each, and the s of its rows.
struct ChunkOfFeatures {
  std::vector<float> states;  // [kStateChunk + 1, M, 2, lanes]
  Vec s[kStateChunk];
  size_t lanes = Lanes(), modes;
  explicit ChunkOfFeatures(size_t m) : states((kStateChunk + 1) * m * 2 * Lanes()), modes(m) {}
  float* At(size_t t, size_t m) { return states.data() + (t * modes + m) * 2 * lanes; }
  Complex X(size_t t, size_t m) { return LoadComplex(WholeVector(), At(t, m), lanes); }

  template <class Io>
  void Run(Io io, const DplrPart& part, size_t i, const float* snapshot, size_t first, size_t rows) {
    const size_t imaginary = modes * part.width;
    for (size_t m = 0; m < modes; ++m) {
      StoreComplex(WholeVector(), LoadComplex(io, snapshot + m * part.width + i, imaginary), At(0, m), lanes);
    }
    for (size_t t = 0; t < rows; ++t) {
      RealSum low_rank;
      for (size_t m = 0; m < modes; ++m) {
        low_rank.Add(LoadComplex(io, part.p + m * part.width + i, imaginary), X(t, m));
      }
      s[t] = low_rank.Twice();
      const Vec u = io.Load(part.u + (first + t) * part.width + i);
      for (size_t m = 0; m < modes; ++m) {
        const Complex x = NextState(io, part, m * part.width + i, X(t, m), s[t], u);
        StoreComplex(WholeVector(), x, At(t + 1, m), lanes);
      }
    }
  }
};

/// One row of a chunk, t, back.
template <class Io>
HWY_INLINE void RowBackward(Io io, const DplrPart& part, const DplrPartGradients& d, size_t i, Vec u, Vec dy,
                            size_t t, ChunkOfFeatures& chunk, float* du) {
  const size_t planes = part.modes * part.width;
  const auto load = [&](const float* from, size_t at) HWY_ATTR { return LoadComplex(io, from + at, planes); };
  const auto add = [&](Vec factor, const Complex& z, float* sum) HWY_ATTR {
    StoreComplex(io, MulAdd(factor, z, LoadComplex(io, sum, planes)), sum, planes);
  };
  const Vec twice = hn::Add(dy, dy);
  RealSum to_u, to_s;
  for (size_t m = 0, at = i; m < part.modes; ++m, at += part.width) {
    const Complex g = MulAdd(twice, Conjugate(load(part.c, at)), load(d.g, at));
    StoreComplex(io, g, d.g + at, planes);
    add(twice, Conjugate(chunk.X(t + 1, m)), d.dc + at);
    to_u.Add(Conjugate(load(part.b, at)), g);
    to_s.Add(Conjugate(load(part.q, at)), g);
  }
  io.Store(to_u.Value(), du);
  const Vec r = hn::Neg(to_s.Value()), twice_r = hn::Add(r, r);
  for (size_t m = 0, at = i; m < part.modes; ++m, at += part.width) {
    const Complex g = load(d.g, at), before = Conjugate(chunk.X(t, m));
    add(u, g, d.db + at);
    add(hn::Neg(chunk.s[t]), g, d.dq + at);
    add(twice_r, before, d.dp + at);
    StoreComplex(io, MulAdd(before, g, load(d.da, at)), d.da + at, planes);
    const Complex through = Times(twice_r, Conjugate(load(part.p, at)));
    StoreComplex(io, MulAdd(Conjugate(load(part.a, at)), g, through), d.g + at, planes);
  }
}

void DplrBackward(const DplrPart& part, const DplrPartGradients& d) {
  const size_t planes = part.modes * part.width;
  ChunkOfFeatures states(part.modes);
  ForLanes(part.n, [&](auto io, size_t i) HWY_ATTR {
    for (size_t chunk = (part.length + kStateChunk - 1) / kStateChunk; chunk-- > 0;) {
      const size_t first = chunk * kStateChunk, rows = std::min(kStateChunk, part.length - first);
      states.Run(io, part, i, part.snapshots + chunk * 2 * planes, first, rows);
      for (size_t t = rows; t-- > 0;) {
        const size_t at = (first + t) * part.width + i;
        RowBackward(io, part, d, i, io.Load(part.u + at), io.Load(d.dy + at), t, states, d.du + at);
      }
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(DplrForward);
HWY_EXPORT(DplrBackward);

namespace {

/// Calls body(part, its memory but for states and y) for ranges of features of every sequence.
template <class Body>
void ForParts(const Tensor& u, const DplrInputs& d, const Sequences& sequences, const Tensor& snapshots,
              const Body& body) {
  const int64_t modes = d.a.dim(1), width = d.a.dim(2);
  ForFeatureParts(sequences, width, modes, [&](const FeaturePart& part) {
    const auto of = [&](const Tensor& t) { return t.data() + part.first; };
    body(part, DplrPart{of(u) + part.row * width, of(d.a), of(d.p), of(d.q), of(d.b), of(d.c),
                        static_cast<size_t>(modes), static_cast<size_t>(width), static_cast<size_t>(part.n),
                        static_cast<size_t>(sequences.length(part.sequence)), nullptr, nullptr, nullptr,
                        snapshots ? of(snapshots) + part.snapshot * d.a.size() : nullptr});
  });
}

}  // namespace

int CpuBackend::DplrSnapshots(const Sequences& sequences) const { return StateChunks(sequences); }

void CpuBackend::DplrRecurrence(const Tensor& u, const DplrInputs& d, const Sequences& sequences,
                                const StateRef& state, const Tensor& y, const Tensor& snapshots) {
  ForParts(u, d, sequences, snapshots, [&](const FeaturePart& part, DplrPart memory) {
    const int64_t at = sequences.slot[part.sequence] * d.a.size() + part.first;
    memory.state_in = state.in.data() + at;
    memory.state_out = state.out.data() + at;
    memory.y = y.data() + part.row * u.dim(1) + part.first;
    HWY_DYNAMIC_DISPATCH(DplrForward)(memory);
  });
}

void CpuBackend::DplrRecurrenceBackward(const Tensor& u, const DplrInputs& d, const Tensor& snapshots,
                                        const Sequences& sequences, const Tensor& dy,
                                        const Tensor& dstate_out, const Tensor& du, const DplrInputs& out,
                                        const Tensor& dstate_in) {
  const Tensor carried = LeftGradients(dstate_out, sequences, d.a.size());
  ForParts(u, d, sequences, snapshots, [&](const FeaturePart& part, const DplrPart& memory) {
    const auto of = [&](const Tensor& t, int64_t at = 0) { return t.data() + at + part.first; };
    const int64_t row = part.row * u.dim(1);
    HWY_DYNAMIC_DISPATCH(DplrBackward)
    (memory, {of(dy, row), of(du, row), of(out.a), of(out.p), of(out.q), of(out.b), of(out.c),
              of(carried, part.sequence * d.a.size())});
  });
  AddBegunGradients(carried, sequences, dstate_in);
}

}  // namespace linnet
#endif  // HWY_ONCE

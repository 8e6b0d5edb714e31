// The average of AFT-conv, head by head along time. What is older than the window is one more row whose key
// is the logarithm of all its weight, l, and whose value their average, m; so each row sees window + 1
// others, and a softmax has them:
//
//   y_t = sum_e a_e v_e    with a = softmax over e of (k_e + w_{t-e} in the window, l_t)
//   l_t = log(e^{l_{t-1}} + e^{k_o})    m_t = m_{t-1} + b (v_o - m_{t-1})    b = e^{k_o - l_t}
//
// where o is the row that leaves the window. Nothing but e to powers of at most 0 is ever computed. Backward:
//
//   dv_e += a_e dy    dk_e += c_e    dw_{t-e} += c_e    with c_e = a_e <dy, v_e - y>; dm, dl likewise; then
//   dv_o += b dm    dk_o += b dl + f    dl <- (1 - b) dl - f    dm <- (1 - b) dm
//   with f = b (1 - b) <dm, v_o - m_{t-1}>
#include <cmath>

#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/aft_conv.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/simd.h"

#ifndef LINNET_KERNELS_CPU_AFT_CONV_ONCE
#define LINNET_KERNELS_CPU_AFT_CONV_ONCE
namespace linnet {

/// A head of one sequence. Row e of `keys` [window + T] and `values` [window + T, n] is, up to the window, a
/// row of the state, from the oldest on, then one of the batch.
struct AftConvPart {
  size_t n, window, length, width, heads;  // rows of y lie `width` apart, those of the masses `heads`
  const float *keys, *values, *w;
  float older_key;           // at the beginning
  const float* older_value;  // [n]
};

struct AftConvResults {
  float* y;
  float *masses, *older_keys, *older_values;  // null unless they are kept
  float *last_key, *last_value;               // the state's row of what is older
};

struct AftConvKept {
  const float *y, *dy, *masses, *older_keys, *older_values;
};

struct AftConvPartGradients {
  float *keys, *values, *w;        // like the part's; +=
  float *older_key, *older_value;  // of what the sequence leaves; then of what it began with
};

}  // namespace linnet
#endif

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

HWY_INLINE float Dot(const float* a, const float* b, size_t n) {
  Vec sum = hn::Zero(F32());
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR { sum = hn::MulAdd(io.Load(a + i), io.Load(b + i), sum); });
  return Sum(sum);
}

/// y += a x
HWY_INLINE void Add(float a, const float* x, float* y, size_t n) {
  const Vec factor = hn::Set(F32(), a);
  ForLanes(n, [&](auto io, size_t i)
                  HWY_ATTR { io.Store(hn::MulAdd(factor, io.Load(x + i), io.Load(y + i)), y + i); });
}

HWY_INLINE void Scale(float a, float* y, size_t n) {
  const Vec factor = hn::Set(F32(), a);
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR { io.Store(hn::Mul(factor, io.Load(y + i)), y + i); });
}

/// `weights` has room for the window.
void AftConvPartForward(const AftConvPart& p, const AftConvResults& r, float* weights) {
  float l = p.older_key;
  float* m = r.last_value;
  std::memmove(m, p.older_value, p.n * sizeof(float));
  for (size_t t = 0; t < p.length; ++t) {
    const float* gone = p.values + t * p.n;
    const float larger = std::max(l, p.keys[t]);
    l = larger + std::log1p(std::exp(std::min(l, p.keys[t]) - larger));
    const float b = std::exp(p.keys[t] - l);
    Scale(1 - b, m, p.n);
    Add(b, gone, m, p.n);

    float largest = l;
    for (size_t d = 0; d < p.window; ++d) {
      weights[d] = p.keys[p.window + t - d] + p.w[d];
      largest = std::max(largest, weights[d]);
    }
    const float old = std::exp(l - largest);
    float mass = old;
    for (size_t d = 0; d < p.window; ++d) mass += weights[d] = std::exp(weights[d] - largest);
    float* y = r.y + t * p.width;
    std::memcpy(y, m, p.n * sizeof(float));
    Scale(old / mass, y, p.n);
    for (size_t d = 0; d < p.window; ++d) {
      Add(weights[d] / mass, p.values + (p.window + t - d) * p.n, y, p.n);
    }
    if (r.masses == nullptr) continue;
    r.masses[t * p.heads] = largest + std::log(mass);
    r.older_keys[t * p.heads] = l;
    std::memcpy(r.older_values + t * p.width, m, p.n * sizeof(float));
  }
  *r.last_key = l;
}

void AftConvPartBackward(const AftConvPart& p, const AftConvKept& kept, const AftConvPartGradients& d) {
  float& dl = *d.older_key;
  float* dm = d.older_value;
  for (size_t t = p.length; t-- > 0;) {
    const float *dy = kept.dy + t * p.width, *m = kept.older_values + t * p.width;
    const float along = Dot(dy, kept.y + t * p.width, p.n);
    const float mass = kept.masses[t * p.heads], l = kept.older_keys[t * p.heads];
    for (size_t back = 0; back < p.window; ++back) {
      const size_t e = p.window + t - back;
      const float a = std::exp(p.keys[e] + p.w[back] - mass);
      const float c = a * (Dot(dy, p.values + e * p.n, p.n) - along);
      Add(a, dy, d.values + e * p.n, p.n);
      d.keys[e] += c;
      d.w[back] += c;
    }
    const float old = std::exp(l - mass), b = std::exp(p.keys[t] - l);
    dl += old * (Dot(dy, m, p.n) - along);
    Add(old, dy, dm, p.n);

    const float* before = t > 0 ? m - p.width : p.older_value;
    const float f = b * (1 - b) * (Dot(dm, p.values + t * p.n, p.n) - Dot(dm, before, p.n));
    Add(b, dm, d.values + t * p.n, p.n);
    d.keys[t] += b * dl + f;
    dl = (1 - b) * dl - f;
    Scale(1 - b, dm, p.n);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(AftConvPartForward);
HWY_EXPORT(AftConvPartBackward);

namespace {

/// Rows of one head of one sequence: those of the state, from the oldest on, then those of the batch.
struct AftConvRows {
  int64_t width, heads, n, window, length;
  int64_t first, slot, head;

  AftConvRows(const AftConvInputs& in, const Sequences& sequences, int64_t part)
      : width(in.v.dim(1)), heads(in.k.dim(1)), n(width / heads), window(in.w.dim(1)) {
    const int s = static_cast<int>(part / heads);
    length = sequences.length(s), first = sequences.start[s], slot = sequences.slot[s], head = part % heads;
  }
  int64_t rows() const { return window + length; }
  /// Of a state's `row`; those of the window from the newest on, then what is older.
  float* Key(const Tensor& state, int64_t row) const {
    return state.data() + (slot * (window + 1) + row) * heads + head;
  }
  float* Value(const Tensor& state, int64_t row) const {
    return state.data() + (slot * (window + 1) + row) * width + head * n;
  }
  float* Key(const Tensor& batch, const Tensor& state, int64_t e) const {
    return e < window ? Key(state, window - 1 - e) : batch.data() + (first + e - window) * heads + head;
  }
  float* Value(const Tensor& batch, const Tensor& state, int64_t e) const {
    return e < window ? Value(state, window - 1 - e) : batch.data() + (first + e - window) * width + head * n;
  }
};

/// The part's rows, side by side in `keys` and `values`.
AftConvPart SideBySide(const AftConvRows& r, const AftConvInputs& in, const AftConvState& state,
                       const Tensor& keys, const Tensor& values) {
  for (int64_t e = 0; e < r.rows(); ++e) {
    keys.data()[e] = *r.Key(in.k, state.keys.in, e);
    std::copy_n(r.Value(in.v, state.values.in, e), r.n, values.data() + e * r.n);
  }
  const auto size = [](int64_t x) { return static_cast<size_t>(x); };
  return {size(r.n),
          size(r.window),
          size(r.length),
          size(r.width),
          size(r.heads),
          keys.data(),
          values.data(),
          in.w.data() + r.head * r.window,
          *r.Key(state.keys.in, r.window),
          r.Value(state.values.in, r.window)};
}

int64_t Parts(const AftConvInputs& in, const Sequences& sequences) {
  return sequences.sequences() * in.k.dim(1);
}

int64_t PartGrain(const AftConvInputs& in, const Sequences& sequences) {
  const int64_t rows = std::max<int64_t>(1, in.k.dim(0) / std::max(1, sequences.sequences()));
  return GrainRows(rows * in.w.dim(1) * in.v.dim(1) / in.k.dim(1));
}

}  // namespace

void CpuBackend::AftConv(const AftConvInputs& in, const Sequences& sequences, const AftConvState& state,
                         const Tensor& y, const AftConvSaved& saved) {
  ParallelFor(Parts(in, sequences), PartGrain(in, sequences), [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      const AftConvRows r(in, sequences, part);
      const Tensor keys = Tensor::Empty({r.rows()}), values = Tensor::Empty({r.rows(), r.n}),
                   weights = Tensor::Empty({r.window});
      const AftConvPart p = SideBySide(r, in, state, keys, values);
      const int64_t at = r.first * r.width + r.head * r.n, mass_at = r.first * r.heads + r.head;
      HWY_DYNAMIC_DISPATCH(AftConvPartForward)
      (p,
       {y.data() + at, saved.masses ? saved.masses.data() + mass_at : nullptr,
        saved.masses ? saved.older_keys.data() + mass_at : nullptr,
        saved.masses ? saved.older_values.data() + at : nullptr, r.Key(state.keys.out, r.window),
        r.Value(state.values.out, r.window)},
       weights.data());
      for (int64_t row = 0; row < r.window; ++row) {
        const int64_t e = r.rows() - 1 - row;
        *r.Key(state.keys.out, row) = p.keys[e];
        std::copy_n(p.values + e * r.n, r.n, r.Value(state.values.out, row));
      }
    }
  });
}

void CpuBackend::AftConvBackward(const AftConvInputs& in, const Sequences& sequences,
                                 const AftConvState& state, const AftConvSaved& saved, const Tensor& y,
                                 const Tensor& dy, const AftConvInputs& arrived, const AftConvInputs& d,
                                 const AftConvInputs& before) {
  const int64_t window = in.w.dim(1), heads = in.k.dim(1);
  const Tensor dw = Tensor::Zeros({sequences.sequences(), heads, window});
  ParallelFor(Parts(in, sequences), PartGrain(in, sequences), [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      const AftConvRows r(in, sequences, part);
      const Tensor keys = Tensor::Empty({r.rows()}), values = Tensor::Empty({r.rows(), r.n}),
                   dkeys = Tensor::Zeros({r.rows()}), dvalues = Tensor::Zeros({r.rows(), r.n}),
                   older = Tensor::Zeros({r.n});
      const AftConvPart p = SideBySide(r, in, state, keys, values);
      for (int64_t row = 0; arrived.k && row < window; ++row) {
        dkeys.data()[r.rows() - 1 - row] = *r.Key(arrived.k, row);
      }
      for (int64_t row = 0; arrived.v && row < window; ++row) {
        std::copy_n(r.Value(arrived.v, row), r.n, dvalues.data() + (r.rows() - 1 - row) * r.n);
      }
      float older_key = arrived.k ? *r.Key(arrived.k, window) : 0;
      if (arrived.v) std::copy_n(r.Value(arrived.v, window), r.n, older.data());
      const int64_t at = r.first * r.width + r.head * r.n, mass_at = r.first * heads + r.head;
      HWY_DYNAMIC_DISPATCH(AftConvPartBackward)
      (p,
       {y.data() + at, dy.data() + at, saved.masses.data() + mass_at, saved.older_keys.data() + mass_at,
        saved.older_values.data() + at},
       {dkeys.data(), dvalues.data(), dw.data() + part * window, &older_key, older.data()});
      for (int64_t e = window; e < r.rows(); ++e) {
        *r.Key(d.k, d.k, e) = dkeys.data()[e];
        std::copy_n(dvalues.data() + e * r.n, r.n, r.Value(d.v, d.v, e));
      }
      // Of the state, whose last row is what is older.
      for (int64_t row = 0; before.k && row <= window; ++row) {
        *r.Key(before.k, row) += row == window ? older_key : dkeys.data()[window - 1 - row];
      }
      for (int64_t row = 0; before.v && row <= window; ++row) {
        const float* from = row == window ? older.data() : dvalues.data() + (window - 1 - row) * r.n;
        for (int64_t i = 0; i < r.n; ++i) r.Value(before.v, row)[i] += from[i];
      }
    }
  });
  std::fill_n(d.w.data(), d.w.size(), 0.0f);
  for (int64_t i = 0; i < dw.size(); ++i) d.w.data()[i % d.w.size()] += dw.data()[i];
}

}  // namespace linnet
#endif  // HWY_ONCE

// Recurrent cells whose steps depend on each other through matrices: no way around one step after the other.
// What can be done at once are the sequences of the batch: those that still have a step t are the first rows
// of working memory, sorted by length, so a step is one product for all of them and one pass over their
// gates.
//
// Backward through time, with a_g what gate g had before its activation:
//
//   kLstm  dc += dh o (1 - tanh^2 c)    di = dc g    df = dc c_{t-1}    do = dh tanh c    dg = dc i    dc <-
//   dc f kGru   dn = dh z    dz = dh (n - h)    d(r h) = U_n^T da_n    dr = d(r h) h    dh <- dh (1 - z) +
//   d(r h) r all    dh += sum_g U_g^T da_g    dU_g = sum_t da_g h_{t-1}^T, one product for all steps
#include <algorithm>
#include <numeric>

#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/cells.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/simd.h"

#ifndef LINNET_KERNELS_CPU_CELLS_ONCE
#define LINNET_KERNELS_CPU_CELLS_ONCE
namespace linnet {

inline constexpr size_t kMostGates = 4;

/// One row of a step; pointers are at its first channel.
struct CellRow {
  const float* x[kMostGates];  // what the gates get from the layer below
  const float* a[kMostGates];  // and from the state
  float* gates[kMostGates];    // their values
  float *h, *c;                // the state, before and after; c of an LSTM
  float* reset;                // r h, of a GRU
  float *y, *all_c;            // the row's h and c
};

/// The same backward. `a` become the gradients of what the gates had before their activations; dh is the sum
/// of what came from the step after through each of `throughs` gates, and around all of them.
struct CellRowBackward {
  const float* gates[kMostGates];
  const float *h, *c, *c_before, *dy;
  const float* through[kMostGates];
  size_t throughs;
  float *dh, *dc, *dreset;
  float* a[kMostGates];
};

}  // namespace linnet
#endif

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

template <class Io>
HWY_INLINE Vec Before(Io io, const CellRow& r, size_t gate, size_t i) {
  return hn::Add(io.Load(r.x[gate] + i), io.Load(r.a[gate] + i));
}

/// x y'(a) for a gate with the value y.
HWY_INLINE Vec ThroughSigmoid(Vec x, Vec y) {
  return hn::Mul(x, hn::Mul(y, hn::Sub(hn::Set(F32(), 1.0f), y)));
}
HWY_INLINE Vec ThroughTanh(Vec x, Vec y) { return hn::Mul(x, hn::NegMulAdd(y, y, hn::Set(F32(), 1.0f))); }

void TanhRow(const CellRow& r, size_t n) {
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec h = Tanh(Before(io, r, 0, i));
    io.Store(h, r.h + i);
    io.Store(h, r.y + i);
  });
}

/// All that arrives at h.
template <class Io>
HWY_INLINE Vec Arrived(Io io, const CellRowBackward& r, size_t i) {
  Vec dh = hn::Add(io.Load(r.dh + i), io.Load(r.dy + i));
  for (size_t g = 0; g < r.throughs; ++g) dh = hn::Add(dh, io.Load(r.through[g] + i));
  return dh;
}

void TanhRowBackward(const CellRowBackward& r, size_t n) {
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec dh = Arrived(io, r, i);
    io.Store(ThroughTanh(dh, io.Load(r.gates[0] + i)), r.a[0] + i);
    io.Store(hn::Zero(F32()), r.dh + i);
  });
}

void LstmRow(const CellRow& r, size_t n) {
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec in = Sigmoid(Before(io, r, 0, i)), forget = Sigmoid(Before(io, r, 1, i)),
              out = Sigmoid(Before(io, r, 2, i)), g = Tanh(Before(io, r, 3, i));
    const Vec c = hn::MulAdd(forget, io.Load(r.c + i), hn::Mul(in, g)), h = hn::Mul(out, Tanh(c));
    io.Store(c, r.c + i);
    io.Store(h, r.h + i);
    io.Store(h, r.y + i);
    if (r.all_c == nullptr) return;
    io.Store(c, r.all_c + i);
    io.Store(in, r.gates[0] + i);
    io.Store(forget, r.gates[1] + i);
    io.Store(out, r.gates[2] + i);
    io.Store(g, r.gates[3] + i);
  });
}

void LstmRowBackward(const CellRowBackward& r, size_t n) {
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec in = io.Load(r.gates[0] + i), forget = io.Load(r.gates[1] + i), out = io.Load(r.gates[2] + i),
              g = io.Load(r.gates[3] + i), squashed = Tanh(io.Load(r.c + i));
    const Vec dh = Arrived(io, r, i);
    const Vec dc = hn::Add(io.Load(r.dc + i), ThroughTanh(hn::Mul(dh, out), squashed));
    io.Store(ThroughSigmoid(hn::Mul(dc, g), in), r.a[0] + i);
    io.Store(ThroughSigmoid(hn::Mul(dc, io.Load(r.c_before + i)), forget), r.a[1] + i);
    io.Store(ThroughSigmoid(hn::Mul(dh, squashed), out), r.a[2] + i);
    io.Store(ThroughTanh(hn::Mul(dc, in), g), r.a[3] + i);
    io.Store(hn::Mul(dc, forget), r.dc + i);
    io.Store(hn::Zero(F32()), r.dh + i);
  });
}

/// z and r of a GRU, and r h.
void GruGatesRow(const CellRow& r, size_t n) {
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec reset = Sigmoid(Before(io, r, 1, i));
    io.Store(Sigmoid(Before(io, r, 0, i)), r.gates[0] + i);
    io.Store(reset, r.gates[1] + i);
    io.Store(hn::Mul(reset, io.Load(r.h + i)), r.reset + i);
  });
}

void GruRow(const CellRow& r, size_t n) {
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec z = io.Load(r.gates[0] + i), h = io.Load(r.h + i), fresh = Tanh(Before(io, r, 2, i));
    const Vec next = hn::MulAdd(z, hn::Sub(fresh, h), h);
    io.Store(fresh, r.gates[2] + i);
    io.Store(next, r.h + i);
    io.Store(next, r.y + i);
  });
}

/// Up to da_n: what d(r h) is made of.
void GruRowBackward(const CellRowBackward& r, size_t n) {
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec z = io.Load(r.gates[0] + i), fresh = io.Load(r.gates[2] + i);
    const Vec dh = Arrived(io, r, i);
    io.Store(ThroughSigmoid(hn::Mul(dh, hn::Sub(fresh, io.Load(r.h + i))), z), r.a[0] + i);
    io.Store(ThroughTanh(hn::Mul(dh, z), fresh), r.a[2] + i);
    io.Store(hn::NegMulAdd(dh, z, dh), r.dh + i);
  });
}

void GruResetRowBackward(const CellRowBackward& r, size_t n) {
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec reset = io.Load(r.gates[1] + i), dreset = io.Load(r.dreset + i);
    io.Store(ThroughSigmoid(hn::Mul(dreset, io.Load(r.h + i)), reset), r.a[1] + i);
    io.Store(hn::MulAdd(dreset, reset, io.Load(r.dh + i)), r.dh + i);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(TanhRow);
HWY_EXPORT(TanhRowBackward);
HWY_EXPORT(LstmRow);
HWY_EXPORT(LstmRowBackward);
HWY_EXPORT(GruGatesRow);
HWY_EXPORT(GruRow);
HWY_EXPORT(GruRowBackward);
HWY_EXPORT(GruResetRowBackward);

namespace {

/// The first `count` rows of x [rows, C].
Tensor FirstRows(const Tensor& x, int64_t count) {
  return Tensor::Wrap(std::make_shared<Tensor>(x), x.raw(), {count, x.dim(1)}, x.dtype());
}

/// The sequences by length, the longest first.
class Steps {
 public:
  explicit Steps(const Sequences& sequences) : sequences_(sequences), order_(sequences.sequences()) {
    std::iota(order_.begin(), order_.end(), 0);
    std::ranges::stable_sort(order_, [&](int a, int b) { return sequences.length(a) > sequences.length(b); });
  }
  int count() const { return order_.empty() ? 0 : sequences_.length(order_[0]); }
  /// Sequences that have a step t.
  int active(int t) const {
    return static_cast<int>(std::ranges::count_if(order_, [&](int s) { return sequences_.length(s) > t; }));
  }
  /// The row of the i-th of them.
  int64_t row(int i, int t) const { return sequences_.start[order_[i]] + t; }
  int slot(int i) const { return sequences_.slot[order_[i]]; }
  bool IsLast(int i, int t) const { return sequences_.length(order_[i]) == t + 1; }
  int size() const { return static_cast<int>(order_.size()); }

 private:
  const Sequences& sequences_;
  std::vector<int> order_;
};

/// A variable of a state [slots, V, C] as rows [S, C] in the order of the steps.
struct PackedState {
  PackedState(const Steps& steps, const Tensor& state, int64_t variable)
      : width(state.dim(2)),
        at(variable * width),
        per_slot(state.dim(1) * width),
        rows(Tensor::Empty({steps.size(), width})) {}
  void Load(const Steps& steps, const Tensor& state) const {
    for (int i = 0; i < steps.size(); ++i) LoadRow(steps, state, i);
  }
  void LoadRow(const Steps& steps, const Tensor& state, int i) const {
    std::copy_n(state.data() + steps.slot(i) * per_slot + at, width, rows.data() + i * width);
  }
  void Store(const Steps& steps, const Tensor& state) const {
    for (int i = 0; i < steps.size(); ++i) {
      std::copy_n(rows.data() + i * width, width, state.data() + steps.slot(i) * per_slot + at);
    }
  }
  void AddTo(const Steps& steps, const Tensor& state) const {
    for (int i = 0; i < steps.size(); ++i) {
      float* to = state.data() + steps.slot(i) * per_slot + at;
      for (int64_t c = 0; c < width; ++c) to[c] += rows.data()[i * width + c];
    }
  }
  int64_t width, at, per_slot;
  Tensor rows;
};

/// x in the type that U multiplies.
Tensor ForProduct(Backend& backend, const Tensor& x, const Tensor& u) {
  if (u.dtype() == DType::kF32) return x;
  const Tensor rounded = Tensor::Empty(x.shape(), DType::kBf16);
  backend.Convert(x, rounded);
  return rounded;
}

/// U in a type whose columns Project can read; blocks become bf16, as they do in every product.
Tensor Readable(Backend& backend, const Tensor& u) {
  if (u.dtype() == DType::kF32 || u.dtype() == DType::kBf16) return u;
  const Tensor rounded = Tensor::Empty(u.shape(), DType::kBf16);
  backend.Convert(u, rounded);
  return rounded;
}

/// Rows of a step that are worth a thread: a gate takes about as long as four simple operations.
int64_t CellGrain(int64_t width) { return GrainRows(4 * width); }

}  // namespace

void CpuBackend::CellForward(CellKind kind, const CellInputs& in, const Sequences& sequences,
                             const StateRef& state, const Tensor& y, const CellSaved& saved) {
  const Steps steps(sequences);
  const size_t gates = in.u.size();
  const int64_t width = y.dim(1);
  const bool lstm = kind == CellKind::kLstm, gru = kind == CellKind::kGru;
  const PackedState h(steps, state.in, 0), c(steps, state.in, lstm ? 1 : 0);
  h.Load(steps, state.in);
  if (lstm) c.Load(steps, state.in);
  std::vector<Tensor> a, values;
  for (size_t g = 0; g < gates; ++g) {
    a.push_back(Tensor::Empty({steps.size(), width}));
    values.push_back(saved.gates.empty() && gru ? Tensor::Empty(y.shape()) : Tensor());
  }
  const Tensor reset = gru ? Tensor::Empty({steps.size(), width}) : Tensor();

  for (int t = 0, n; t < steps.count(); ++t) {
    n = steps.active(t);
    const auto row = [&](int64_t i) {
      CellRow r{};
      const int64_t at = steps.row(static_cast<int>(i), t) * width;
      for (size_t g = 0; g < gates; ++g) {
        r.x[g] = in.x[g].data() + at;
        r.a[g] = a[g].data() + i * width;
        r.gates[g] = !saved.gates.empty() ? saved.gates[g].data() + at
                     : gru                ? values[g].data() + at
                                          : nullptr;
      }
      r.h = h.rows.data() + i * width;
      r.c = lstm ? c.rows.data() + i * width : nullptr;
      r.reset = gru ? reset.data() + i * width : nullptr;
      r.y = y.data() + at;
      r.all_c = saved.c ? saved.c.data() + at : nullptr;
      return r;
    };
    const auto multiply = [&](const Tensor& x, size_t begin, size_t end) {
      const Tensor rows = ForProduct(*this, FirstRows(x, n), in.u[begin]);
      std::vector<Projection> products;
      for (size_t g = begin; g < end; ++g) products.push_back({rows, in.u[g], true, FirstRows(a[g], n)});
      Project(products);
    };
    const auto rows = [&](const auto& body) {
      ParallelFor(n, CellGrain(width), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) body(row(i), static_cast<size_t>(width));
      });
    };
    multiply(h.rows, 0, gru ? 2 : gates);
    if (gru) {
      rows([](const CellRow& r, size_t n) { HWY_DYNAMIC_DISPATCH(GruGatesRow)(r, n); });
      multiply(reset, 2, 3);
      rows([](const CellRow& r, size_t n) { HWY_DYNAMIC_DISPATCH(GruRow)(r, n); });
    } else if (lstm) {
      rows([](const CellRow& r, size_t n) { HWY_DYNAMIC_DISPATCH(LstmRow)(r, n); });
    } else {
      rows([](const CellRow& r, size_t n) { HWY_DYNAMIC_DISPATCH(TanhRow)(r, n); });
    }
  }
  h.Store(steps, state.out);
  if (lstm) c.Store(steps, state.out);
}

void CpuBackend::CellBackward(CellKind kind, const CellInputs& in, const Sequences& sequences,
                              const Tensor& state_in, const Tensor& y, const CellSaved& saved,
                              const Tensor& dy, const Tensor& dstate_out, const CellInputs& gradients,
                              const Tensor& dstate_in) {
  const Steps steps(sequences);
  const size_t gates = in.u.size();
  const int64_t width = y.dim(1);
  const bool lstm = kind == CellKind::kLstm, gru = kind == CellKind::kGru;
  const PackedState dh(steps, state_in, 0), dc(steps, state_in, lstm ? 1 : 0);
  std::fill_n(dh.rows.data(), dh.rows.size(), 0.0f);
  std::fill_n(dc.rows.data(), dc.rows.size(), 0.0f);
  std::vector<Tensor> a, u, through;
  for (size_t g = 0; g < gates; ++g) {
    a.push_back(Tensor::Empty({steps.size(), width}));
    u.push_back(Readable(*this, in.u[g]));
    if (!gru || g < 2) through.push_back(Tensor::Zeros({steps.size(), width}));
  }
  const Tensor dreset = gru ? Tensor::Empty({steps.size(), width}) : Tensor();
  // The rows before each, of h and of c.
  const Tensor h_before = Tensor::Empty(y.shape()), c_before = lstm ? Tensor::Empty(y.shape()) : Tensor();
  for (int s = 0; s < sequences.sequences(); ++s) {
    const int64_t first = sequences.start[s] * width, more = (sequences.length(s) - 1) * width;
    const float* state = state_in.data() + sequences.slot[s] * dh.per_slot;
    std::copy_n(state, width, h_before.data() + first);
    std::copy_n(y.data() + first, more, h_before.data() + first + width);
    if (!lstm) continue;
    std::copy_n(state + width, width, c_before.data() + first);
    std::copy_n(saved.c.data() + first, more, c_before.data() + first + width);
  }

  for (int t = steps.count() - 1, n; t >= 0; --t) {
    n = steps.active(t);
    for (int i = 0; i < n && dstate_out; ++i) {
      if (!steps.IsLast(i, t)) continue;
      dh.LoadRow(steps, dstate_out, i);
      if (lstm) dc.LoadRow(steps, dstate_out, i);
    }
    const auto row = [&](int64_t i) {
      CellRowBackward r{};
      const int64_t at = steps.row(static_cast<int>(i), t) * width;
      for (size_t g = 0; g < gates; ++g) {
        r.gates[g] = kind == CellKind::kTanh ? y.data() + at : saved.gates[g].data() + at;
        r.a[g] = a[g].data() + i * width;
      }
      for (const Tensor& from : through) r.through[r.throughs++] = from.data() + i * width;
      r.h = h_before.data() + at;
      r.c = lstm ? saved.c.data() + at : nullptr;
      r.c_before = lstm ? c_before.data() + at : nullptr;
      r.dy = dy.data() + at;
      r.dh = dh.rows.data() + i * width;
      r.dc = dc.rows.data() + i * width;
      r.dreset = gru ? dreset.data() + i * width : nullptr;
      return r;
    };
    const auto rows = [&](const auto& body) {
      ParallelFor(n, CellGrain(width), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) body(row(i), static_cast<size_t>(width));
      });
    };
    // U_g^T a_g, of several gates at once
    const auto multiply = [&](size_t begin, std::span<const Tensor> to) {
      std::vector<Projection> products;
      for (size_t i = 0; i < to.size(); ++i) {
        const size_t g = begin + i;
        products.push_back(
            {ForProduct(*this, FirstRows(a[g], n), u[g]), u[g], /*out_in=*/false, FirstRows(to[i], n)});
      }
      Project(products);
    };
    if (gru) {
      rows([](const CellRowBackward& r, size_t n) { HWY_DYNAMIC_DISPATCH(GruRowBackward)(r, n); });
      multiply(2, std::span(&dreset, 1));
      rows([](const CellRowBackward& r, size_t n) { HWY_DYNAMIC_DISPATCH(GruResetRowBackward)(r, n); });
    } else if (lstm) {
      rows([](const CellRowBackward& r, size_t n) { HWY_DYNAMIC_DISPATCH(LstmRowBackward)(r, n); });
    } else {
      rows([](const CellRowBackward& r, size_t n) { HWY_DYNAMIC_DISPATCH(TanhRowBackward)(r, n); });
    }
    multiply(0, through);
    for (size_t g = 0; g < gates; ++g) {
      for (int i = 0; i < n; ++i) {
        std::copy_n(a[g].data() + i * width, width, gradients.x[g].data() + steps.row(i, t) * width);
      }
    }
  }
  if (dstate_in) {
    for (const Tensor& from : through) AddTo(from, dh.rows);
    dh.AddTo(steps, dstate_in);
    if (lstm) dc.AddTo(steps, dstate_in);
  }
  for (size_t g = 0; g < gates; ++g) {
    if (!gradients.u[g]) continue;
    if (gru && g == 2) {  // which reads r h
      for (int64_t i = 0; i < h_before.size(); ++i) h_before.data()[i] *= saved.gates[1].data()[i];
    }
    MatMul(gradients.x[g], true, h_before, false, gradients.u[g], true);
  }
}

}  // namespace linnet
#endif  // HWY_ONCE

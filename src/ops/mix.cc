// RWKV's token shift, and the row-wise pieces of RWKV-7 between its matrix products.
#include <algorithm>

#include "ops/internal.h"
#include "ops/ops.h"

namespace linnet::ops {

using namespace internal;

namespace {

/// Stands for several tensors where Tape::For takes one.
struct AnyTracked {
  const std::vector<Tensor>& tensors;
  bool tracked() const { return std::ranges::any_of(tensors, &Tensor::tracked); }
};

}  // namespace

std::vector<Tensor> ShiftMix(const Tensor& x, const std::vector<Tensor>& mix, const Sequences& sequences,
                             const StateRef& state, MixShare share) {
  const Dim width = x.dim(1);
  Check(sequences.start.back() == x.dim(0), "[shift_mix] the sequences cover {} rows, x has {}",
        sequences.start.back(), x.dim(0));
  Check(state.in.shape().rank() == 2 && state.in.dim(1) == width,
        "[shift_mix] the state must be [slots, {}] but is {}", width, state.in.shape());
  for (const Tensor& m : mix) {
    Check(m.size() == width || m.shape() == x.shape(), "[shift_mix] a mix is {}, x {}", m.shape(), x.shape());
  }
  Backend& backend = BackendOf(x);
  std::vector<Tensor> ys;
  for (size_t i = 0; i < mix.size(); ++i) ys.push_back(Tensor::Empty(x.shape()));
  backend.ShiftMix(x, mix, share, sequences, state, ys);

  if (Tape* tape = Tape::For(x, state.in, AnyTracked{mix})) {
    std::vector<GradientPtr> slots;
    for (const Tensor& y : ys) slots.push_back(y.Track());
    const GradientPtr left = state.out ? state.out.Track() : nullptr;
    tape->Record([=, &backend, state_in = state.in] {
      std::vector<Tensor> dys, dmix;
      for (const Tensor& m : mix) {
        dys.push_back(Arrived(slots[dys.size()], x.shape()));
        dmix.push_back(AccumulatorFor(m));
      }
      const Tensor dx = Tensor::Empty(x.shape());
      backend.ShiftMixBackward(x, mix, share, sequences, state_in, dys, left ? left->value : Tensor(), dx,
                               dmix, Accumulator(GradientOf(state_in), state_in.shape()));
      Accumulate(GradientOf(x), dx);
    });
  }
  return ys;
}

Keys MakeKeys(const Tensor& k, const Tensor& a, const Tensor& k_k, const Tensor& k_a, int heads) {
  const Dim width = k.dim(1);
  Check(k.shape() == a.shape(), "[make_keys] k {} and a {} differ", k.shape(), a.shape());
  Check(k_k.size() == width && k_a.size() == width, "[make_keys] k_k and k_a must have {} channels", width);
  Check(heads > 0 && width % heads == 0, "[make_keys] a width of {} cannot be cut into {} heads", width,
        heads);
  Backend& backend = BackendOf(k);
  const Keys keys{Tensor::Empty(k.shape()), Tensor::Empty(k.shape()), Tensor::Empty(k.shape())};
  Tape* tape = Tape::For(k, a, k_k, k_a);
  const Tensor inverse_norm = tape ? Tensor::Empty({k.dim(0), heads}) : Tensor();
  backend.MakeKeys(k, a, k_k, k_a, heads, keys.key, keys.removal, keys.replacement, inverse_norm);
  if (tape != nullptr) {
    tape->Record(
        [=, &backend, g0 = keys.key.Track(), g1 = keys.removal.Track(), g2 = keys.replacement.Track()] {
          const Shape& shape = k.shape();
          const Tensor dk = Tensor::Empty(shape), da = Tensor::Empty(shape);
          backend.MakeKeysBackward(k, a, k_k, k_a, inverse_norm, Arrived(g0, shape), Arrived(g1, shape),
                                   Arrived(g2, shape), dk, da, AccumulatorFor(k_k), AccumulatorFor(k_a));
          Accumulate(GradientOf(k), dk);
          Accumulate(GradientOf(a), da);
        });
  }
  return keys;
}

Tensor BonusGate(const Tensor& y, const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& r_k,
                 const Tensor& g, int heads) {
  for (const Tensor* t : {&r, &k, &v, &g}) {
    Check(t->shape() == y.shape(), "[bonus_gate] shapes {} and {} differ", y.shape(), t->shape());
  }
  Check(r_k.size() == y.dim(1), "[bonus_gate] r_k must have {} channels but has {}", y.dim(1), r_k.size());
  Check(heads > 0 && y.dim(1) % heads == 0, "[bonus_gate] a width of {} cannot be cut into {} heads",
        y.dim(1), heads);
  Backend& backend = BackendOf(y);
  const Tensor out = Tensor::Empty(y.shape());
  backend.BonusGate(y, r, k, v, r_k, g, heads, out);
  if (Tape* tape = Tape::For(y, r, k, v, r_k, g)) {
    tape->Record([=, &backend, go = out.Track()] {
      if (!go->value) return;
      const auto like = [&] { return Tensor::Empty(y.shape()); };
      const Backend::BonusGateGradients d{like(), like(), like(), like(), AccumulatorFor(r_k), like()};
      backend.BonusGateBackward(y, r, k, v, r_k, g, heads, go->value, d);
      Accumulate(GradientOf(y), d.y);
      Accumulate(GradientOf(r), d.r);
      Accumulate(GradientOf(k), d.k);
      Accumulate(GradientOf(v), d.v);
      Accumulate(GradientOf(g), d.g);
    });
  }
  return out;
}

}  // namespace linnet::ops

// The recurrences.
#include "ops/internal.h"
#include "ops/ops.h"

namespace linnet::ops {

using namespace internal;

namespace {

constexpr Dim kMaxHeadSize = 1024;

void CheckWkv7(const Wkv7Inputs& in, const Sequences& sequences, const StateRef& state, int heads) {
  const Shape& shape = in.r.shape();
  for (const Tensor* t : {&in.w, &in.k, &in.v, &in.a, &in.b}) {
    Check(t->shape() == shape, "[wkv7] shapes {} and {} differ", shape, t->shape());
  }
  const Dim width = shape[1];
  Check(heads > 0 && width % heads == 0, "[wkv7] a width of {} cannot be cut into {} heads", width, heads);
  const Dim n = width / heads;
  Check(n <= kMaxHeadSize, "[wkv7] a head of {} channels is larger than {}", n, kMaxHeadSize);
  Check(sequences.start.back() == shape[0], "[wkv7] the sequences cover {} rows, r has {}",
        sequences.start.back(), shape[0]);
  const Shape expected{state.in.dim(0), heads, n, n};
  Check(state.in.shape() == expected && state.out.shape() == expected, "[wkv7] state must be {} but is {}",
        expected, state.in.shape());
}

}  // namespace

Tensor Wkv7(const Wkv7Inputs& in, const Sequences& sequences, const StateRef& state, int heads) {
  CheckWkv7(in, sequences, state, heads);
  Backend& backend = BackendOf(in.r);
  const Tensor y = Tensor::Empty(in.r.shape());
  Tape* tape = Tape::For(in.r, in.w, in.k, in.v, in.a, in.b, state.in);
  Wkv7Saved saved;
  if (tape != nullptr) {
    const Dim n = in.r.dim(1) / heads;
    saved = {Tensor::Empty({backend.Wkv7Snapshots(sequences), heads, n, n}), Tensor::Empty(in.r.shape())};
  }
  backend.Wkv7Forward(in, sequences, heads, state, y, saved);
  if (tape != nullptr) {
    tape->Record([=, &backend, gy = y.Track(), gs = state.out.Track(), state_in = state.in] {
      if (!gy->value && !gs->value) return;
      const Shape& shape = in.r.shape();
      const auto like = [&] { return Tensor::Empty(shape); };
      const Wkv7Inputs d{like(), like(), like(), like(), like(), like()};
      backend.Wkv7Backward(in, saved, sequences, heads, Arrived(gy, shape), gs->value, d,
                           Accumulator(GradientOf(state_in), state_in.shape()));
      Accumulate(GradientOf(in.r), d.r);
      Accumulate(GradientOf(in.w), d.w);
      Accumulate(GradientOf(in.k), d.k);
      Accumulate(GradientOf(in.v), d.v);
      Accumulate(GradientOf(in.a), d.a);
      Accumulate(GradientOf(in.b), d.b);
    });
  }
  return y;
}

}  // namespace linnet::ops

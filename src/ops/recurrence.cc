// The recurrences.
#include "ops/internal.h"
#include "ops/ops.h"

namespace linnet::ops {

using namespace internal;

namespace {

constexpr Dim kMaxHeadSize = 1024;

void CheckWkv4(const Wkv4Inputs& in, const Sequences& sequences, const StateRef& state) {
  const Shape& shape = in.k.shape();
  Check(in.v.shape() == shape, "[wkv4] shapes {} and {} differ", shape, in.v.shape());
  Check(in.w.size() == shape[1] && in.u.size() == shape[1],
        "[wkv4] w and u must have {} channels, not {}, {}", shape[1], in.w.size(), in.u.size());
  Check(sequences.start.back() == shape[0], "[wkv4] the sequences cover {} rows, k has {}",
        sequences.start.back(), shape[0]);
  const Shape expected{state.in.dim(0), 3, shape[1]};
  Check(state.in.shape() == expected && state.out.shape() == expected, "[wkv4] state must be {} but is {}",
        expected, state.in.shape());
}

/// What the recurrences with a matrix as state have in common. Returns the head size.
Dim CheckHeads(const char* op, const Shape& shape, const Sequences& sequences, const StateRef& state,
               int heads) {
  const Dim width = shape[1];
  Check(heads > 0 && width % heads == 0, "[{}] a width of {} cannot be cut into {} heads", op, width, heads);
  const Dim n = width / heads;
  Check(n <= kMaxHeadSize, "[{}] a head of {} channels is larger than {}", op, n, kMaxHeadSize);
  Check(sequences.start.back() == shape[0], "[{}] the sequences cover {} rows, r has {}", op,
        sequences.start.back(), shape[0]);
  const Shape expected{state.in.dim(0), heads, n, n};
  Check(state.in.shape() == expected && state.out.shape() == expected, "[{}] state must be {} but is {}", op,
        expected, state.in.shape());
  return n;
}

void CheckWkv6(const Wkv6Inputs& in) {
  const Shape& shape = in.r.shape();
  for (const Tensor* t : {&in.k, &in.v}) {
    Check(t->shape() == shape, "[wkv6] shapes {} and {} differ", shape, t->shape());
  }
  Check(in.w.shape() == shape || in.w.size() == shape[1], "[wkv6] w is {}, r {}", in.w.shape(), shape);
  Check(in.u.size() == shape[1], "[wkv6] u must have {} channels but has {}", shape[1], in.u.size());
}

void CheckWkv7(const Wkv7Inputs& in) {
  const Shape& shape = in.r.shape();
  for (const Tensor* t : {&in.w, &in.k, &in.v, &in.a, &in.b}) {
    Check(t->shape() == shape, "[wkv7] shapes {} and {} differ", shape, t->shape());
  }
}

}  // namespace

Tensor Wkv4(const Wkv4Inputs& in, const Sequences& sequences, const StateRef& state) {
  CheckWkv4(in, sequences, state);
  Backend& backend = BackendOf(in.k);
  const Shape& shape = in.k.shape();
  const Tensor y = Tensor::Empty(shape);
  Tape* tape = Tape::For(in.k, in.v, in.w, in.u, state.in);
  const Tensor snapshots = tape ? Tensor::Empty({backend.Wkv4Snapshots(sequences), 3, shape[1]}) : Tensor();
  backend.Wkv4Forward(in, sequences, state, y, snapshots);
  if (tape != nullptr) {
    tape->Record([=, &backend, gy = y.Track(), gs = state.out.Track()] {
      if (!gy->value && !gs->value) return;
      const Shape& shape = in.k.shape();
      const Wkv4Inputs d{Tensor::Empty(shape), Tensor::Empty(shape), AccumulatorFor(in.w),
                         AccumulatorFor(in.u)};
      backend.Wkv4Backward(in, snapshots, sequences, state, Arrived(gy, shape), gs->value, d,
                           Accumulator(GradientOf(state.in), state.in.shape()));
      Accumulate(GradientOf(in.k), d.k);
      Accumulate(GradientOf(in.v), d.v);
    });
  }
  return y;
}

Tensor Wkv6(const Wkv6Inputs& in, const Sequences& sequences, const StateRef& state, int heads) {
  CheckWkv6(in);
  const Dim n = CheckHeads("wkv6", in.r.shape(), sequences, state, heads);
  Backend& backend = BackendOf(in.r);
  const Tensor y = Tensor::Empty(in.r.shape());
  Tape* tape = Tape::For(in.r, in.k, in.v, in.w, in.u, state.in);
  const Tensor snapshots = tape ? Tensor::Empty({backend.Wkv6Snapshots(sequences), heads, n, n}) : Tensor();
  backend.Wkv6Forward(in, sequences, heads, state, y, snapshots);
  if (tape != nullptr) {
    tape->Record([=, &backend, gy = y.Track(), gs = state.out.Track(), state_in = state.in] {
      if (!gy->value && !gs->value) return;
      const Shape &shape = in.r.shape(), of_sequences{sequences.sequences(), shape[1]};
      const auto like = [&] { return Tensor::Empty(shape); };
      const bool of_rows = in.w.shape() == shape;
      const Wkv6Inputs d{like(), like(), like(), of_rows ? like() : Tensor::Empty(of_sequences),
                         Tensor::Empty(of_sequences)};
      backend.Wkv6Backward(in, snapshots, sequences, heads, Arrived(gy, shape), gs->value, d,
                           Accumulator(GradientOf(state_in), state_in.shape()));
      Accumulate(GradientOf(in.r), d.r);
      Accumulate(GradientOf(in.k), d.k);
      Accumulate(GradientOf(in.v), d.v);
      backend.SumRows(d.u, AccumulatorFor(in.u));
      if (of_rows) {
        Accumulate(GradientOf(in.w), d.w);
      } else {
        backend.SumRows(d.w, AccumulatorFor(in.w));
      }
    });
  }
  return y;
}

Tensor Wkv7(const Wkv7Inputs& in, const Sequences& sequences, const StateRef& state, int heads) {
  CheckWkv7(in);
  const Dim n = CheckHeads("wkv7", in.r.shape(), sequences, state, heads);
  Backend& backend = BackendOf(in.r);
  const Tensor y = Tensor::Empty(in.r.shape());
  Tape* tape = Tape::For(in.r, in.w, in.k, in.v, in.a, in.b, state.in);
  Wkv7Saved saved;
  if (tape != nullptr) {
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

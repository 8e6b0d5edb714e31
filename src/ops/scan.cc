// The diagonal scan, and the row before.
#include "ops/internal.h"
#include "ops/ops.h"

namespace linnet::ops {

using namespace internal;

namespace {

void CheckRows(const char* op, const Tensor& x, const Sequences& sequences, const StateRef& state) {
  Check(x.shape().rank() == 2, "[{}] rows are [N, C], not {}", op, x.shape());
  Check(sequences.start.back() == x.dim(0), "[{}] the sequences cover {} rows, there are {}", op,
        sequences.start.back(), x.dim(0));
  const Shape expected{state.in.dim(0), x.dim(1)};
  Check(state.in.shape() == expected && state.out.shape() == expected, "[{}] the state must be {} but is {}",
        op, expected, state.in.shape());
}

}  // namespace

Tensor Previous(const Tensor& x, const Sequences& sequences, const StateRef& state) {
  CheckRows("previous", x, sequences, state);
  Backend& backend = BackendOf(x);
  const Tensor y = Tensor::Empty(x.shape());
  backend.Previous(x, sequences, state, y);
  if (Tape* tape = Tape::For(x, state.in)) {
    tape->Record([=, &backend, shape = x.shape(), gx = GradientOf(x), gy = y.Track(), gs = state.out.Track(),
                  state_in = state.in] {
      if (!gy->value && !gs->value) return;
      const Tensor dx = Tensor::Empty(shape);
      backend.PreviousBackward(Arrived(gy, shape), sequences, gs->value, dx,
                               Accumulator(GradientOf(state_in), state_in.shape()));
      Accumulate(gx, dx);
    });
  }
  return y;
}

Tensor DiagonalScan(const Tensor& a, const Tensor& b, const Sequences& sequences, const StateRef& state,
                    ScanKind kind) {
  CheckRows("scan", b, sequences, state);
  Check(a.shape() == b.shape() || a.size() == b.dim(1), "[scan] the factors are {}, what arrives {}",
        a.shape(), b.shape());
  Check(kind != ScanKind::kComplex || b.dim(1) % 2 == 0,
        "[scan] complex numbers have a real and an imaginary part, which {} columns cannot hold", b.dim(1));
  Backend& backend = BackendOf(b);
  const Tensor h = Tensor::Empty(b.shape());
  backend.Scan({a, b}, kind, sequences, state, h);
  if (Tape* tape = Tape::For(a, b, state.in)) {
    tape->Record([=, &backend, gh = h.Track(), gs = state.out.Track(), state_in = state.in] {
      if (!gh->value && !gs->value) return;
      const bool of_rows = a.shape() == b.shape();
      const ScanInputs d{Tensor::Empty(of_rows ? b.shape() : Shape{sequences.sequences(), b.dim(1)}),
                         Tensor::Empty(b.shape())};
      backend.ScanBackward({a, b}, kind, sequences, state_in, h, Arrived(gh, b.shape()), gs->value, d,
                           Accumulator(GradientOf(state_in), state_in.shape()));
      Accumulate(GradientOf(b), d.b);
      if (of_rows) {
        Accumulate(GradientOf(a), d.a);
      } else {
        backend.SumRows(d.a, AccumulatorFor(a));
      }
    });
  }
  return h;
}

}  // namespace linnet::ops

// State spaces whose matrix is diagonal plus low rank, as S4 has them.
#include "ops/internal.h"
#include "ops/ops.h"

namespace linnet::ops {

using namespace internal;

namespace {

void CheckRows(const char* op, const Tensor& u, const Sequences& sequences, Dim width) {
  Check(u.shape().rank() == 2 && u.dim(1) == width && u.dim(0) == sequences.start.back(),
        "[{}] the rows of {} features that the sequences cover must be [{}, {}], not {}", op, width,
        sequences.start.back(), width, u.shape());
}

void CheckNumbers(const char* op, const DplrInputs& d) {
  const Shape& shape = d.c.shape();
  Check(shape.rank() == 3 && shape[0] == 2, "[{}] modes of features are [2, M, H], not {}", op, shape);
  for (const Tensor* t : {&d.a, &d.p, &d.q, &d.b}) {
    Check(t->shape() == shape, "[{}] shapes {} and {} differ", op, t->shape(), shape);
  }
}

}  // namespace

DplrInputs Bilinear(const DplrParameters& p, const Tensor& c) {
  const Dim modes = p.re.size(), width = p.step.size();
  Check(p.im.size() == modes && p.P.size() == 2 * modes && p.B.size() == 2 * modes,
        "[bilinear] {} modes need as many imaginary parts, and P and B of twice as many numbers, not {}, {}, "
        "{}",
        modes, p.im.size(), p.P.size(), p.B.size());
  const Shape shape{2, modes, width};
  Check(c.shape() == shape, "[bilinear] the output must be {} but is {}", shape, c.shape());
  Backend& backend = BackendOf(c);
  const auto like = [&] { return Tensor::Empty(shape); };
  const DplrInputs d{like(), like(), like(), like(), c};
  backend.Bilinear(p, d);
  if (Tape* tape = Tape::For(p.re, p.im, p.P, p.B, p.step)) {
    tape->Record([=, &backend, ga = d.a.Track(), gp = d.p.Track(), gq = d.q.Track(), gb = d.b.Track()] {
      backend.BilinearBackward(
          p, {Arrived(ga, shape), Arrived(gp, shape), Arrived(gq, shape), Arrived(gb, shape), {}},
          {AccumulatorFor(p.re), AccumulatorFor(p.im), AccumulatorFor(p.P), AccumulatorFor(p.B),
           AccumulatorFor(p.step)});
    });
  }
  return d;
}

Tensor DplrKernel(const DplrInputs& d, Dim length) {
  CheckNumbers("dplr_kernel", d);
  Check(length >= 1, "[dplr_kernel] a kernel needs a row at least");
  Backend& backend = BackendOf(d.c);
  const Tensor K = Tensor::Empty({length, d.c.dim(2)});
  backend.DplrKernel(d, K);
  if (Tape* tape = Tape::For(d.a, d.p, d.q, d.b, d.c)) {
    tape->Record([=, &backend, gK = K.Track()] {
      if (!gK->value) return;
      const auto like = [&] { return Tensor::Empty(d.c.shape()); };
      const DplrInputs g{like(), like(), like(), like(), like()};
      backend.DplrKernelBackward(d, gK->value, g);
      Accumulate(GradientOf(d.a), g.a);
      Accumulate(GradientOf(d.p), g.p);
      Accumulate(GradientOf(d.q), g.q);
      Accumulate(GradientOf(d.b), g.b);
      Accumulate(GradientOf(d.c), g.c);
    });
  }
  return K;
}

Tensor LongConvolution(const Tensor& u, const Tensor& K, const Sequences& sequences) {
  Check(K.shape().rank() == 2 && K.dim(0) >= 1, "[long_convolution] kernels are [T, H], not {}", K.shape());
  CheckRows("long_convolution", u, sequences, K.dim(1));
  Backend& backend = BackendOf(u);
  const Tensor y = Tensor::Empty(u.shape());
  backend.LongConvolution(u, K, sequences, y);
  if (Tape* tape = Tape::For(u, K)) {
    tape->Record([=, &backend, gy = y.Track()] {
      if (!gy->value) return;
      const Tensor du = Tensor::Empty(u.shape());
      backend.LongConvolutionBackward(u, K, sequences, gy->value, du, AccumulatorFor(K));
      Accumulate(GradientOf(u), du);
    });
  }
  return y;
}

Tensor DplrRecurrence(const Tensor& u, const DplrInputs& d, const Sequences& sequences,
                      const StateRef& state) {
  CheckNumbers("dplr_recurrence", d);
  const Dim modes = d.c.dim(1), width = d.c.dim(2);
  CheckRows("dplr_recurrence", u, sequences, width);
  const Shape expected{state.in.dim(0), 2, modes, width};
  Check(state.in.shape() == expected && state.out.shape() == expected,
        "[dplr_recurrence] the state must be {} but is {}", expected, state.in.shape());
  Backend& backend = BackendOf(u);
  const Tensor y = Tensor::Empty(u.shape());
  Tape* tape = Tape::For(u, d.a, d.p, d.q, d.b, d.c, state.in);
  const Tensor snapshots =
      tape ? Tensor::Empty({backend.DplrSnapshots(sequences), 2, modes, width}) : Tensor();
  backend.DplrRecurrence(u, d, sequences, state, y, snapshots);
  if (tape != nullptr) {
    tape->Record([=, &backend, gy = y.Track(), gs = state.out.Track(), state_in = state.in] {
      if (!gy->value && !gs->value) return;
      const Tensor du = Tensor::Empty(u.shape());
      const DplrInputs sums{AccumulatorFor(d.a), AccumulatorFor(d.p), AccumulatorFor(d.q),
                            AccumulatorFor(d.b), AccumulatorFor(d.c)};
      backend.DplrRecurrenceBackward(u, d, snapshots, sequences, Arrived(gy, u.shape()), gs->value, du, sums,
                                     Accumulator(GradientOf(state_in), state_in.shape()));
      Accumulate(GradientOf(u), du);
    });
  }
  return y;
}

}  // namespace linnet::ops

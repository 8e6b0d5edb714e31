// Diagonal state spaces, their eigenvalues, and the recurrence of SRU.
#include "ops/internal.h"
#include "ops/ops.h"

namespace linnet::ops {

using namespace internal;

namespace {

void CheckRows(const char* op, const Tensor& x, const Sequences& sequences) {
  Check(x.shape().rank() == 2 && sequences.start.back() == x.dim(0),
        "[{}] the sequences cover {} rows, there are {}", op, sequences.start.back(), x.shape());
}

void CheckState(const char* op, const StateRef& state, const Shape& expected) {
  Check(state.in.shape() == expected && state.out.shape() == expected, "[{}] the state must be {} but is {}",
        op, expected, state.in.shape());
}

}  // namespace

Eigen Eigenvalues(const EigenInputs& p, EigenKind kind) {
  const Dim count = p.re.size();
  Check(!p.im || p.im.size() == count, "[eigenvalues] {} real parts need as many imaginary ones, not {}",
        count, p.im ? p.im.size() : 0);
  Check(kind != EigenKind::kZeroOrderHold || p.step, "[eigenvalues] a zero-order hold needs a step");
  Check(!p.step || count % p.step.size() == 0, "[eigenvalues] {} steps do not go round {} eigenvalues",
        p.step ? p.step.size() : 0, count);
  Backend& backend = BackendOf(p.re);
  const Shape shape{2, count};
  const Eigen e{Tensor::Empty(shape), Tensor::Empty(shape)};
  backend.Eigenvalues(p, kind, e.a, e.gain);
  if (Tape* tape = Tape::For(p.re, p.im, p.step)) {
    tape->Record([=, &backend, ga = e.a.Track(), gg = e.gain.Track()] {
      const auto sum = [](const Tensor& t) { return t ? AccumulatorFor(t) : Tensor(); };
      backend.EigenvaluesBackward(p, kind, Arrived(ga, shape), Arrived(gg, shape),
                                  {sum(p.re), sum(p.im), sum(p.step)});
    });
  }
  return e;
}

Tensor StateSpace(const StateSpaceInputs& in, const Sequences& sequences, const StateRef& state) {
  CheckRows("state_space", in.u, sequences);
  const Dim width = in.u.dim(1);
  Check(in.a.shape().rank() == 3 && in.a.dim(0) == 2 && in.a.dim(2) == width && in.c.shape() == in.a.shape(),
        "[state_space] the eigenvalues and weights of {} features must be [2, M, {}], not {} and {}", width,
        width, in.a.shape(), in.c.shape());
  const Dim modes = in.a.dim(1);
  CheckState("state_space", state, {state.in.dim(0), 2, modes, width});
  Backend& backend = BackendOf(in.u);
  const Tensor y = Tensor::Empty(in.u.shape());
  Tape* tape = Tape::For(in.u, in.a, in.c, state.in);
  const Tensor snapshots =
      tape ? Tensor::Empty({backend.StateSpaceSnapshots(sequences), 2, modes, width}) : Tensor();
  backend.StateSpace(in, sequences, state, y, snapshots);
  if (tape != nullptr) {
    tape->Record([=, &backend, gy = y.Track(), gs = state.out.Track(), state_in = state.in] {
      if (!gy->value && !gs->value) return;
      const Shape all{sequences.sequences(), in.a.size()};
      const StateSpaceInputs d{Tensor::Empty(in.u.shape()), Tensor::Empty(all), Tensor::Empty(all)};
      backend.StateSpaceBackward(in, snapshots, sequences, Arrived(gy, in.u.shape()), gs->value, d,
                                 Accumulator(GradientOf(state_in), state_in.shape()));
      Accumulate(GradientOf(in.u), d.u);
      backend.SumRows(d.a, AccumulatorFor(in.a));
      backend.SumRows(d.c, AccumulatorFor(in.c));
    });
  }
  return y;
}

Tensor Sru(const SruInputs& in, const Sequences& sequences, const StateRef& state) {
  CheckRows("sru", in.x, sequences);
  const Shape& shape = in.x.shape();
  for (const Tensor* t : {&in.z_f, &in.z_r, &in.skip}) {
    Check(t->shape() == shape, "[sru] shapes {} and {} differ", shape, t->shape());
  }
  Check(in.v_f.size() == shape[1] && in.v_r.size() == shape[1], "[sru] v_f and v_r must have {} channels",
        shape[1]);
  CheckState("sru", state, {state.in.dim(0), shape[1]});
  Backend& backend = BackendOf(in.x);
  const Tensor c = Tensor::Empty(shape), h = Tensor::Empty(shape);
  backend.Sru(in, sequences, state, c, h);
  if (Tape* tape = Tape::For(in.x, in.z_f, in.z_r, in.skip, in.v_f, in.v_r, state.in)) {
    tape->Record([=, &backend, gh = h.Track(), gs = state.out.Track(), state_in = state.in] {
      if (!gh->value && !gs->value) return;
      const Shape &shape = in.x.shape(), sums{sequences.sequences(), shape[1]};
      const auto like = [&] { return Tensor::Empty(shape); };
      const SruInputs d{like(), like(), like(), like(), Tensor::Empty(sums), Tensor::Empty(sums)};
      backend.SruBackward(in, sequences, state_in, c, Arrived(gh, shape), gs->value, d,
                          Accumulator(GradientOf(state_in), state_in.shape()));
      Accumulate(GradientOf(in.x), d.x);
      Accumulate(GradientOf(in.z_f), d.z_f);
      Accumulate(GradientOf(in.z_r), d.z_r);
      Accumulate(GradientOf(in.skip), d.skip);
      backend.SumRows(d.v_f, AccumulatorFor(in.v_f));
      backend.SumRows(d.v_r, AccumulatorFor(in.v_r));
    });
  }
  return h;
}

}  // namespace linnet::ops

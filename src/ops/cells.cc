// Cells of recurrent networks that read their own last output through a matrix.
#include "ops/adapters.h"
#include "ops/internal.h"
#include "ops/ops.h"

namespace linnet::ops {

using namespace internal;

namespace {

size_t GatesOf(CellKind kind) { return kind == CellKind::kTanh ? 1 : kind == CellKind::kGru ? 3 : 4; }

void CheckCell(CellKind kind, const CellInputs& in, const Sequences& sequences, const StateRef& state) {
  const size_t gates = GatesOf(kind);
  Check(in.x.size() == gates && in.u.size() == gates,
        "[cell] {} gates were expected, but there are {} and {}", gates, in.x.size(), in.u.size());
  const Shape& shape = in.x[0].shape();
  for (size_t g = 0; g < gates; ++g) {
    Check(in.x[g].shape() == shape, "[cell] shapes {} and {} differ", in.x[g].shape(), shape);
    Check((in.u[g].shape() == Shape{shape[1], shape[1]}),
          "[cell] a matrix of the state must be [{}, {}] but is {}", shape[1], shape[1], in.u[g].shape());
    CheckNoAdapter("cell", in.u[g]);
  }
  Check(sequences.start.back() == shape[0], "[cell] the sequences cover {} rows, x has {}",
        sequences.start.back(), shape[0]);
  const Shape expected{state.in.dim(0), kind == CellKind::kLstm ? 2 : 1, shape[1]};
  Check(state.in.shape() == expected && state.out.shape() == expected, "[cell] state must be {} but is {}",
        expected, state.in.shape());
}

Tape* TapeFor(const CellInputs& in, const Tensor& state) {
  Tape* tape = Tape::For(state);
  for (size_t g = 0; g < in.x.size() && tape == nullptr; ++g) tape = Tape::For(in.x[g], in.u[g]);
  return tape;
}

}  // namespace

Tensor RecurrentCell(CellKind kind, const CellInputs& in, const Sequences& sequences, const StateRef& state) {
  CheckCell(kind, in, sequences, state);
  Backend& backend = BackendOf(in.x[0]);
  const Shape& shape = in.x[0].shape();
  const Tensor y = Tensor::Empty(shape);
  CellSaved saved;
  Tape* tape = TapeFor(in, state.in);
  if (tape != nullptr && kind != CellKind::kTanh) {
    for (size_t g = 0; g < in.x.size(); ++g) saved.gates.push_back(Tensor::Empty(shape));
    if (kind == CellKind::kLstm) saved.c = Tensor::Empty(shape);
  }
  backend.CellForward(kind, in, sequences, state, y, saved);
  if (tape != nullptr) {
    tape->Record([=, &backend, gy = y.Track(), gs = state.out.Track(), state_in = state.in] {
      if (!gy->value && !gs->value) return;
      CellInputs d;
      for (size_t g = 0; g < in.x.size(); ++g) {
        d.x.push_back(Tensor::Empty(y.shape()));
        d.u.push_back(Accumulator(GradientOf(in.u[g]), in.u[g].shape()));
      }
      backend.CellBackward(kind, in, sequences, state_in, y, saved, Arrived(gy, y.shape()), gs->value, d,
                           Accumulator(GradientOf(state_in), state_in.shape()));
      for (size_t g = 0; g < in.x.size(); ++g) Accumulate(GradientOf(in.x[g]), d.x[g]);
    });
  }
  return y;
}

}  // namespace linnet::ops

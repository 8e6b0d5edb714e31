// Recurrences through a full matrix: every step needs the one before, so they go step by step, all sequences
// of the batch at once. For that the rows are put in the order of time, longer sequences first: then those
// that have a step t are a prefix of those that have the step before. What does not depend on the step before
// (the gradient of the matrix) is one product over all rows.
#include <algorithm>
#include <numeric>

#include "ops/adapters.h"
#include "ops/internal.h"
#include "ops/ops.h"

namespace linnet::ops {

using namespace internal;

namespace {

/// Rows [first, first + count) of x, sharing its memory.
Tensor RowsAt(const Tensor& x, Dim first, Dim count) {
  const size_t row_bytes = x.bytes() / x.dim(0);
  return Tensor::Wrap(std::make_shared<Tensor>(x), static_cast<std::byte*>(x.raw()) + first * row_bytes,
                      {count, x.dim(1)}, x.dtype());
}

/// A batch in the order of time.
struct Timeline {
  std::vector<int> slot;      // of each sequence, longest first
  std::vector<int> row;       // of the batch, at each place
  std::vector<int> place;     // of each row of the batch
  std::vector<int> last;      // place of each sequence's last row
  std::vector<int> previous;  // of each place, among the states before [S] and then the places
  std::vector<int> begin{0};  // T + 1

  explicit Timeline(const Sequences& sequences) : place(sequences.start.back()) {
    std::vector<int> order(sequences.sequences());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, std::greater(), [&](int s) { return sequences.length(s); });
    last.resize(order.size());
    for (int s : order) slot.push_back(sequences.slot[s]);
    const int count = static_cast<int>(order.size()), longest = count > 0 ? sequences.length(order[0]) : 0;
    for (int t = 0; t < longest; ++t) {
      for (int i = 0; i < count && sequences.length(order[i]) > t; ++i) {
        last[i] = static_cast<int>(row.size());
        place[sequences.start[order[i]] + t] = last[i];
        previous.push_back(t == 0 ? i : count + begin[t - 1] + i);
        row.push_back(sequences.start[order[i]] + t);
      }
      begin.push_back(static_cast<int>(row.size()));
    }
  }
  int steps() const { return static_cast<int>(begin.size()) - 1; }
  Dim sequences() const { return static_cast<Dim>(slot.size()); }
  int length(int t) const { return begin[t + 1] - begin[t]; }
  /// The places of step t, and those before them, in a tensor [S + N, C].
  Tensor Now(const Tensor& all, int t) const { return RowsAt(all, sequences() + begin[t], length(t)); }
  Tensor Before(const Tensor& all, int t) const {
    return RowsAt(all, t == 0 ? 0 : sequences() + begin[t - 1], length(t));
  }
};

Tensor Gathered(const Tensor& x, const std::vector<int>& rows) {
  const Tensor y = Tensor::Empty({static_cast<Dim>(rows.size()), x.dim(1)});
  BackendOf(x).Gather(x, rows, y);
  return y;
}

/// h [S + N, C]: the states before, then a row a place; gates [N, C]: act(W h + b). z is empty where the gate
/// is itself the new h.
struct Kept {
  Tensor h, gates, z;
};

struct Inputs {
  Tensor b, z, w;
  Act act;
};

void CheckInputs(const Inputs& in, const Sequences& sequences, const StateRef& state) {
  const Dim width = in.b.dim(1);
  Check(in.w.shape() == (Shape{width, width}) && (!in.z || in.z.shape() == in.b.shape()),
        "[recurrence] {} does not fit the matrix {}", in.b.shape(), in.w.shape());
  Check(sequences.start.back() == in.b.dim(0), "[recurrence] the sequences cover {} rows, there are {}",
        sequences.start.back(), in.b.dim(0));
  const Shape expected{state.in.dim(0), width};
  Check(state.in.shape() == expected && state.out.shape() == expected,
        "[recurrence] the state must be {} but is {}", expected, state.in.shape());
}

Kept Forward(Backend& backend, const Inputs& in, const Timeline& time, const StateRef& state) {
  const Dim width = in.b.dim(1), rows = in.b.dim(0), sequences = time.sequences();
  const Tensor arriving = Gathered(in.b, time.row);
  const Kept kept{Tensor::Empty({sequences + rows, width}), Tensor::Empty({rows, width}),
                  in.z ? Gathered(in.z, time.row) : Tensor()};
  backend.Gather(state.in, time.slot, RowsAt(kept.h, 0, sequences));
  for (int t = 0; t < time.steps(); ++t) {
    const Tensor before = time.Before(kept.h, t), now = time.Now(kept.h, t);
    const Tensor gate = RowsAt(kept.gates, time.begin[t], time.length(t));
    const Projection product{ForProductWith(in.w, before), in.w, true, gate};
    backend.Project({&product, 1});
    backend.AddTo(RowsAt(arriving, time.begin[t], time.length(t)), gate);
    backend.BiasActivate({}, in.act, gate);
    if (in.z) {
      backend.Lerp(RowsAt(kept.z, time.begin[t], time.length(t)), before, gate, now);
    } else {
      backend.Convert(gate, now);
    }
  }
  for (Dim i = 0; i < sequences; ++i) {
    std::copy_n(kept.h.data() + (sequences + time.last[i]) * width, width,
                state.out.data() + time.slot[i] * width);
  }
  return kept;
}

struct Gradients {
  Tensor dh;    // [S + N, C]: what arrived at first; the states' at last
  Tensor dsum;  // [N, C]: of W h + b
  Tensor dz;    // [N, C], or empty
};

void Backward(Backend& backend, const Inputs& in, const Timeline& time, const Kept& kept,
              const Gradients& d) {
  for (int t = time.steps(); t-- > 0;) {
    const Dim first = time.begin[t], count = time.length(t);
    const Tensor before = time.Before(d.dh, t), now = time.Now(d.dh, t), dsum = RowsAt(d.dsum, first, count);
    const Tensor gate = RowsAt(kept.gates, first, count);
    if (in.z) {
      const Tensor through = Tensor::Empty(now.shape()), dgate = Tensor::Empty(now.shape());
      backend.LerpBackward(RowsAt(kept.z, first, count), time.Before(kept.h, t), gate, now,
                           RowsAt(d.dz, first, count), through, dgate);
      backend.AddTo(through, before);
      backend.ActivateBackward(gate, dgate, in.act, dsum);
    } else {
      backend.ActivateBackward(gate, now, in.act, dsum);
    }
    backend.MatMul(ForProductWith(in.w, dsum), false, in.w, false, before, true);
  }
}

void Record(Tape* tape, Backend& backend, const Inputs& in, const Timeline& time, const StateRef& state,
            const Kept& kept, const Tensor& y) {
  tape->Record([=, &backend, gy = y.Track(), gs = state.out.Track(), state_in = state.in,
                shape = in.b.shape(), gb = GradientOf(in.b), gz = in.z ? GradientOf(in.z) : nullptr] {
    if (!gy->value && !gs->value) return;
    const Dim width = shape[1], sequences = time.sequences();
    const Gradients d{Tensor::Zeros(kept.h.shape()), Tensor::Empty(shape),
                      kept.z ? Tensor::Empty(shape) : Tensor()};
    if (gy->value) backend.Gather(gy->value, time.row, RowsAt(d.dh, sequences, shape[0]));
    for (Dim i = 0; i < sequences && gs->value; ++i) {
      backend.AddTo(RowsAt(gs->value, time.slot[i], 1), RowsAt(d.dh, sequences + time.last[i], 1));
    }
    Backward(backend, {{}, kept.z, in.w, in.act}, time, kept, d);
    if (const GradientPtr gw = GradientOf(in.w)) {
      backend.MatMul(ForProductWith(in.w, d.dsum), true,
                     ForProductWith(in.w, Gathered(kept.h, time.previous)), false,
                     Accumulator(gw, {width, width}), true);
    }
    Accumulate(gb, Gathered(d.dsum, time.place));
    if (kept.z) Accumulate(gz, Gathered(d.dz, time.place));
    if (const GradientPtr gi = GradientOf(state_in)) {
      backend.ScatterAdd(RowsAt(d.dh, 0, sequences), time.slot, Accumulator(gi, state_in.shape()));
    }
  });
}

Tensor Run(const Inputs& in, const Sequences& sequences, const StateRef& state) {
  CheckInputs(in, sequences, state);
  CheckNoAdapter("recurrence", in.w);
  Backend& backend = BackendOf(in.b);
  const Timeline time(sequences);
  Tape* tape = in.z ? Tape::For(in.b, in.z, in.w, state.in) : Tape::For(in.b, in.w, state.in);
  const Kept kept = Forward(backend, in, time, state);
  std::vector<int> places;
  for (int place : time.place) places.push_back(static_cast<int>(time.sequences()) + place);
  const Tensor y = Gathered(kept.h, places);
  if (tape != nullptr) Record(tape, backend, in, time, state, kept, y);
  return y;
}

}  // namespace

Tensor DenseRecurrence(const Tensor& b, const Tensor& w, Act act, const Sequences& sequences,
                       const StateRef& state) {
  return Run({b, {}, w, act}, sequences, state);
}

Tensor MinimalRecurrence(const Tensor& z, const Tensor& b, const Tensor& u, const Sequences& sequences,
                         const StateRef& state) {
  return Run({b, z, u, Act::kSigmoid}, sequences, state);
}

}  // namespace linnet::ops

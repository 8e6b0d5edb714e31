// Averages over what a sequence has seen: attention, those of attention-free transformers, the normaliser of
// linear attention; and rows that bring a matrix of their own.
#include <cmath>

#include "ops/internal.h"
#include "ops/ops.h"

namespace linnet::ops {

using namespace internal;

namespace {

void CheckAttention(const AttentionInputs& in, const Sequences& sequences, const AttentionCache& cache) {
  const Dim rows = in.q.dim(0);
  Check(in.k.shape() == in.q.shape(), "[attention] q {} and k {} differ", in.q.shape(), in.k.shape());
  Check(in.v.dim(0) == rows, "[attention] q has {} rows, v {}", rows, in.v.dim(0));
  Check(sequences.start.back() == rows, "[attention] the sequences cover {} rows, q has {}",
        sequences.start.back(), rows);
  const Tensor &keys = cache.keys.in, &values = cache.values.in;
  const Shape& shape = keys.shape();
  const bool by_head = shape.rank() == 4;
  const Dim heads = by_head ? shape[1] : 1;
  const Shape of_values = by_head ? Shape{shape[0], heads, shape[2], in.v.dim(1) / heads}
                                  : Shape{shape[0], shape[1], in.v.dim(1)};
  Check((by_head || shape.rank() == 3) && shape[-1] * heads == in.k.dim(1) && in.v.dim(1) % heads == 0 &&
            values.shape() == of_values,
        "[attention] the caches must be [slots, H, capacity, {} / H] and [slots, H, capacity, {} / H] but "
        "are {} "
        "and {}",
        in.k.dim(1), in.v.dim(1), keys.shape(), values.shape());
  Check(cache.length.in.size() == keys.dim(0), "[attention] {} lengths for {} slots", cache.length.in.size(),
        keys.dim(0));
}

/// How many rows each sequence had before this batch; counts those of the batch, too. A state may come from a
/// file: its numbers may be anything.
std::vector<int> CountRows(const char* op, const Sequences& sequences, const StateRef& seen, Dim most) {
  std::vector<int> past;
  for (int s = 0; s < sequences.sequences(); ++s) {
    const float length = seen.in.data()[sequences.slot[s]];
    Check(length >= 0 && length <= static_cast<float>(most) && std::floor(length) == length,
          "[{}] a state has a length of {}, which is no number of rows between 0 and {}", op, length, most);
    past.push_back(static_cast<int>(length));
    Check(
        past[s] + sequences.length(s) <= most,
        "[{}] {} tokens do not fit: this model remembers {} tokens and has seen {}; begin anew, or choose a "
        "larger context (--context; when training, where positions are learned)",
        op, sequences.length(s), most, past[s]);
  }
  for (int s = 0; s < sequences.sequences(); ++s) {
    seen.out.data()[sequences.slot[s]] = static_cast<float>(past[s] + sequences.length(s));
  }
  return past;
}

}  // namespace

std::vector<int> Positions(const Sequences& sequences, const StateRef& seen, Dim most) {
  const std::vector<int> past = CountRows("positions", sequences, seen, most);
  std::vector<int> positions;
  for (int s = 0; s < sequences.sequences(); ++s) {
    for (int t = 0; t < sequences.length(s); ++t) positions.push_back(past[s] + t);
  }
  return positions;
}

Tensor Attention(const AttentionInputs& in, const Sequences& sequences, const AttentionCache& cache,
                 SoftCap soft) {
  CheckAttention(in, sequences, cache);
  Backend& backend = BackendOf(in.q);
  const std::vector<int> past = CountRows("attention", sequences, cache.length, cache.keys.in.dim(-2));
  const Tensor y = Tensor::Empty(in.v.shape());
  backend.AttentionForward(in, sequences, past, soft, cache, y);
  if (Tape* tape = Tape::For(in.q, in.k, in.v, cache.keys.in, cache.values.in)) {
    // k and v themselves are in the caches and need not be kept.
    tape->Record([=, &backend, q = in.q, gk = GradientOf(in.k), gv = GradientOf(in.v), gy = y.Track(),
                  keys = cache.keys, values = cache.values, left_k = cache.keys.out.Track(),
                  left_v = cache.values.out.Track()] {
      if (!gy->value && !left_k->value && !left_v->value) return;
      const AttentionInputs gradients{Tensor::Empty(q.shape()), Tensor::Empty(q.shape()),
                                      Tensor::Empty(y.shape())};
      backend.AttentionBackward(q, sequences, past, soft, keys.out, values.out, y, Arrived(gy, y.shape()),
                                {{}, left_k->value, left_v->value}, gradients,
                                {{},
                                 Accumulator(GradientOf(keys.in), keys.in.shape()),
                                 Accumulator(GradientOf(values.in), values.in.shape())});
      Accumulate(GradientOf(q), gradients.q);
      Accumulate(gk, gradients.k);
      Accumulate(gv, gradients.v);
    });
  }
  return y;
}

Tensor AftAverage(const AftInputs& in, const Sequences& sequences, const AttentionCache& cache, Dim window) {
  const Shape& shape = in.k.shape();
  const Tensor& keys = cache.keys.in;
  const Shape expected{keys.dim(0), keys.dim(1), shape[1]};
  Check(in.v.shape() == shape, "[aft] k {} and v {} differ", shape, in.v.shape());
  Check(sequences.start.back() == shape[0], "[aft] the sequences cover {} rows, k has {}",
        sequences.start.back(), shape[0]);
  Check(keys.shape() == expected && cache.values.in.shape() == expected,
        "[aft] the caches must be {} but are {} and {}", expected, keys.shape(), cache.values.in.shape());
  Check((in.w.shape() == Shape{shape[0], keys.dim(1)}), "[aft] w must be [{}, {}] but is {}", shape[0],
        keys.dim(1), in.w.shape());
  Backend& backend = BackendOf(in.k);
  const std::vector<int> past = CountRows("aft", sequences, cache.length, keys.dim(1));
  const Tensor y = Tensor::Empty(shape);
  Tape* tape = Tape::For(in.k, in.v, in.w, cache.keys.in, cache.values.in);
  const Tensor sums = tape ? Tensor::Empty(shape) : Tensor();
  backend.AftForward(in, sequences, past, window, cache, y, sums);
  if (tape != nullptr) {
    tape->Record([=, &backend, w = in.w, gk = GradientOf(in.k), gv = GradientOf(in.v), gy = y.Track(),
                  keys = cache.keys, values = cache.values, left_k = cache.keys.out.Track(),
                  left_v = cache.values.out.Track()] {
      if (!gy->value && !left_k->value && !left_v->value) return;
      const AftInputs d{Tensor::Empty(y.shape()), Tensor::Empty(y.shape()), Tensor::Empty(w.shape())};
      backend.AftBackward(w, sequences, past, window, keys.out, values.out, y, sums, Arrived(gy, y.shape()),
                          {left_k->value, left_v->value, {}}, d,
                          {Accumulator(GradientOf(keys.in), keys.in.shape()),
                           Accumulator(GradientOf(values.in), values.in.shape()),
                           {}});
      Accumulate(gk, d.k);
      Accumulate(gv, d.v);
      Accumulate(GradientOf(w), d.w);
    });
  }
  return y;
}

Tensor AftConv(const AftConvInputs& in, const Sequences& sequences, const AftConvState& state) {
  const Dim rows = in.v.dim(0), width = in.v.dim(1), heads = in.k.dim(1), slots = state.keys.in.dim(0);
  Check(in.k.dim(0) == rows && sequences.start.back() == rows,
        "[aft_conv] v has {} rows, k {}, the sequences {}", rows, in.k.dim(0), sequences.start.back());
  Check(width % heads == 0 && in.w.dim(0) == heads, "[aft_conv] {} channels, keys of {} heads and w of {}",
        width, heads, in.w.dim(0));
  const Shape keys{slots, in.w.dim(1) + 1, heads}, values{slots, in.w.dim(1) + 1, width};
  Check(state.keys.in.shape() == keys && state.values.in.shape() == values,
        "[aft_conv] the states must be {} and {} but are {} and {}", keys, values, state.keys.in.shape(),
        state.values.in.shape());
  Backend& backend = BackendOf(in.v);
  const Tensor y = Tensor::Empty(in.v.shape());
  Tape* tape = Tape::For(in.k, in.v, in.w, state.keys.in, state.values.in);
  AftConvSaved saved;
  if (tape != nullptr) {
    saved = {Tensor::Empty(in.k.shape()), Tensor::Empty(in.k.shape()), Tensor::Empty(in.v.shape())};
  }
  backend.AftConv(in, sequences, state, y, saved);
  if (tape != nullptr) {
    tape->Record(
        [=, &backend, gy = y.Track(), left_k = state.keys.out.Track(), left_v = state.values.out.Track()] {
          if (!gy->value && !left_k->value && !left_v->value) return;
          const AftConvInputs d{Tensor::Empty(in.k.shape()), Tensor::Empty(y.shape()),
                                Tensor::Empty(in.w.shape())};
          backend.AftConvBackward(in, sequences, state, saved, y, Arrived(gy, y.shape()),
                                  {left_k->value, left_v->value, {}}, d,
                                  {Accumulator(GradientOf(state.keys.in), state.keys.in.shape()),
                                   Accumulator(GradientOf(state.values.in), state.values.in.shape()),
                                   {}});
          Accumulate(GradientOf(in.k), d.k);
          Accumulate(GradientOf(in.v), d.v);
          Accumulate(GradientOf(in.w), d.w);
        });
  }
  return y;
}

Tensor DivideByMass(const Tensor& x, const Tensor& q, const Tensor& k, const Sequences& sequences,
                    const StateRef& state, int heads, float eps) {
  const Shape& shape = x.shape();
  for (const Tensor* t : {&q, &k}) {
    Check(t->shape() == shape, "[mass] shapes {} and {} differ", shape, t->shape());
  }
  Check(heads > 0 && shape[1] % heads == 0, "[mass] a width of {} cannot be cut into {} heads", shape[1],
        heads);
  Check(sequences.start.back() == shape[0], "[mass] the sequences cover {} rows, x has {}",
        sequences.start.back(), shape[0]);
  const Shape expected{state.in.dim(0), shape[1]};
  Check(state.in.shape() == expected && state.out.shape() == expected, "[mass] state must be {} but is {}",
        expected, state.in.shape());
  Backend& backend = BackendOf(x);
  const Tensor y = Tensor::Empty(shape);
  Tape* tape = Tape::For(x, q, k, state.in);
  const Tensor sums = tape ? Tensor::Empty(shape) : Tensor();
  backend.DivideByMass(x, q, k, heads, eps, sequences, state, y, sums);
  if (tape != nullptr) {
    tape->Record([=, &backend, gx = GradientOf(x), gk = GradientOf(k), gy = y.Track(), gs = state.out.Track(),
                  state_in = state.in] {
      if (!gy->value && !gs->value) return;
      const auto like = [&] { return Tensor::Empty(y.shape()); };
      const Tensor dx = like(), dq = like(), dk = like();
      backend.DivideByMassBackward(q, y, sums, heads, eps, sequences, Arrived(gy, y.shape()), gs->value, dx,
                                   dq, dk, Accumulator(GradientOf(state_in), state_in.shape()));
      Accumulate(gx, dx);
      Accumulate(GradientOf(q), dq);
      Accumulate(gk, dk);
    });
  }
  return y;
}

Tensor RowMatMul(const Tensor& x, const Tensor& matrices, Dim out) {
  Check(matrices.dim(0) == x.dim(0) && matrices.dim(1) == x.dim(1) * out,
        "[row_matmul] rows of x {} need matrices of {} x {}, these are {}", x.shape(), x.dim(1), out,
        matrices.shape());
  Backend& backend = BackendOf(x);
  const Tensor y = Tensor::Empty({x.dim(0), out});
  backend.RowMatMul(x, matrices, y);
  if (Tape* tape = Tape::For(x, matrices)) {
    tape->Record([=, &backend, gy = y.Track()] {
      if (!gy->value) return;
      const Tensor dx = Tensor::Empty(x.shape()), dmatrices = Tensor::Empty(matrices.shape());
      backend.RowMatMulBackward(x, matrices, gy->value, dx, dmatrices);
      Accumulate(GradientOf(x), dx);
      Accumulate(GradientOf(matrices), dmatrices);
    });
  }
  return y;
}

}  // namespace linnet::ops

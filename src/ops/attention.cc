// Attention over what a sequence has seen, and rows that bring a matrix of their own.
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
  Check(keys.shape().rank() == 3 && keys.dim(2) == in.k.dim(1) && values.shape().rank() == 3 &&
            values.dim(2) == in.v.dim(1) && values.dim(0) == keys.dim(0) && values.dim(1) == keys.dim(1),
        "[attention] the caches must be [slots, capacity, {}] and [slots, capacity, {}] but are {} and {}",
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
        "larger context (--context)",
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
  const std::vector<int> past = CountRows("attention", sequences, cache.length, cache.keys.in.dim(1));
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

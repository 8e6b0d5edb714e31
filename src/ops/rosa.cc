// ROSA, attention by the longest match: its rows look back with the help of a suffix automaton of all keys.
#include "kernels/suffix_automaton.h"
#include "ops/internal.h"
#include "ops/ops.h"

namespace linnet::ops {

using namespace internal;

namespace {

constexpr int kMostBits = 10;            // a node has a place for each symbol
constexpr Dim kMostRows = Dim{1} << 22;  // more nodes than which a float could not number

void CheckRosa(const RosaInputs& in, int bits, const Sequences& sequences, const RosaMemory& memory) {
  const Shape& shape = in.q.shape();
  Check(in.k.shape() == shape && in.v.shape() == shape, "[rosa] q {}, k {} and v {} differ", shape,
        in.k.shape(), in.v.shape());
  Check(bits >= 1 && bits <= kMostBits && shape[1] % bits == 0, "[rosa] {} channels are no symbols of {} bits",
        shape[1], bits);
  Check(in.zero.size() == shape[1] && in.one.size() == shape[1],
        "[rosa] {} and {} values of bits for {} channels", in.zero.size(), in.one.size(), shape[1]);
  Check(sequences.start.back() == shape[0], "[rosa] the sequences cover {} rows, q has {}",
        sequences.start.back(), shape[0]);
  const Tensor& values = memory.values.in;
  const Dim slots = values.dim(0), groups = shape[1] / bits, rows = values.dim(2);
  Check(rows <= kMostRows, "[rosa] a memory of {} rows is more than {}; choose a shorter --context", rows,
        kMostRows);
  const Shape of_values{slots, groups, rows}, of_cursors{slots, groups, SuffixAutomaton::kCursor},
      of_nodes{slots, groups, RosaNodes(rows), RosaNodeSize(bits)};
  Check(values.shape() == of_values && memory.cursors.in.shape() == of_cursors &&
            memory.nodes.in.shape() == of_nodes,
        "[rosa] the memory must be {}, {} and {} but is {}, {} and {}", of_nodes, of_cursors, of_values,
        memory.nodes.in.shape(), memory.cursors.in.shape(), values.shape());
}

}  // namespace

Dim RosaNodeSize(int bits) { return SuffixAutomaton::Stride(int64_t{1} << bits); }
Dim RosaNodes(Dim rows) { return SuffixAutomaton::Nodes(rows); }

Tensor Rosa(const RosaInputs& in, int bits, bool unmatched_is_zero, const Sequences& sequences,
            const RosaMemory& memory, const StateRef& seen) {
  CheckRosa(in, bits, sequences, memory);
  Check(
      Tape::For(in.q, in.k, in.v, in.zero, in.one) == nullptr,
      "[rosa] has no derivative: no rule for it is published; use what was trained, or another architecture");
  const std::vector<int> positions = Positions(sequences, seen, memory.values.in.dim(2));
  std::vector<int> past;
  for (int s = 0; s < sequences.sequences(); ++s) past.push_back(positions[sequences.start[s]]);
  const Tensor y = Tensor::Empty(in.q.shape());
  BackendOf(in.q).Rosa(in, bits, unmatched_is_zero, sequences, past, memory, y);
  return y;
}

}  // namespace linnet::ops

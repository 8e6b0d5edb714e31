// ROSA: each group of channels finds in the keys so far the latest place that looks like the last queries,
// and says the value that followed there. A step costs a few hops in a suffix automaton, however long the
// past is.
#include <algorithm>

#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/suffix_automaton.h"

namespace linnet {
namespace {

/// A group's channels of a row as a number: bit b is whether channel b is positive.
int64_t Symbol(const float* x, int bits) {
  int64_t symbol = 0;
  for (int b = 0; b < bits; ++b) symbol |= static_cast<int64_t>(x[b] > 0) << b;
  return symbol;
}

/// Where a slot's memory of one group lies.
struct GroupMemory {
  float *nodes, *values, *cursor;
};

GroupMemory MemoryOf(const Tensor& nodes, const Tensor& values, const Tensor& cursors, int64_t index) {
  return {nodes.data() + index * nodes.dim(2) * nodes.dim(3), values.data() + index * values.dim(2),
          cursors.data() + index * cursors.dim(2)};
}

/// Copies what a group remembers of `past` rows, where the state's old and new memory differ.
void Carry(const GroupMemory& from, const GroupMemory& to, int64_t past, int64_t stride) {
  if (from.nodes == to.nodes) return;
  std::copy_n(from.nodes, SuffixAutomaton::Nodes(past) * stride, to.nodes);
  std::copy_n(from.values, past, to.values);
  std::copy_n(from.cursor, SuffixAutomaton::kCursor, to.cursor);
}

}  // namespace

void CpuBackend::Rosa(const RosaInputs& in, int bits, bool unmatched_is_zero, const Sequences& sequences,
                      std::span<const int> past, const RosaMemory& memory, const Tensor& y) {
  const int64_t width = in.q.dim(1), groups = width / bits, capacity = memory.values.in.dim(2);
  const int64_t symbols = int64_t{1} << bits, tasks = groups * sequences.sequences();
  constexpr int64_t kCost = 64;  // a step takes as long as some so many sums
  const int64_t rows = std::max<int64_t>(1, in.q.dim(0) / std::max(1, sequences.sequences()));
  ParallelFor(tasks, std::max<int64_t>(1, kGrainElements / (kCost * rows)), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t s = task / groups, g = task % groups, slot = sequences.slot[s] * groups + g;
      const GroupMemory m = MemoryOf(memory.nodes.out, memory.values.out, memory.cursors.out, slot);
      Carry(MemoryOf(memory.nodes.in, memory.values.in, memory.cursors.in, slot), m, past[s],
            SuffixAutomaton::Stride(symbols));
      SuffixAutomaton automaton(m.nodes, m.cursor, capacity, symbols);
      for (int64_t t = sequences.start[s], i = past[s]; t < sequences.start[s + 1]; ++t, ++i) {
        const int64_t at = t * width + g * bits;
        m.values[i] = static_cast<float>(Symbol(in.v.data() + at, bits));
        const int64_t place = std::min(automaton.Match(Symbol(in.q.data() + at, bits)), i);
        automaton.Append(Symbol(in.k.data() + at, bits), i + 1);
        const bool found = place > 0, says = found || unmatched_is_zero;
        const auto value = found && m.values[place] >= 0 && m.values[place] < static_cast<float>(symbols)
                               ? static_cast<int64_t>(m.values[place])
                               : 0;
        for (int b = 0; b < bits; ++b) {
          const int64_t c = g * bits + b;
          y.data()[at + b] = !says ? 0 : (value >> b & 1) != 0 ? in.one.data()[c] : in.zero.data()[c];
        }
      }
      automaton.Save();
    }
  });
}

}  // namespace linnet

// ROSA: what it finds is what its definition says, on any cut of the text, whatever a state's numbers are.
#include <cstring>
#include <limits>

#include "ops/op_case.h"
#include "ops/ragged.h"

namespace linnet {
namespace {

/// What a sequence of one text needs, in slot 1 of 2.
struct Memory {
  Tensor nodes, cursors, values, seen;

  Memory(Dim groups, int bits, Dim rows)
      : nodes(Tensor::Zeros({2, groups, ops::RosaNodes(rows), ops::RosaNodeSize(bits)})),
        cursors(Tensor::Zeros({2, groups, ops::kRosaCursor})),
        values(Tensor::Zeros({2, groups, rows})),
        seen(Tensor::Zeros({2, 1})) {}
  RosaMemory InPlace() const { return {{nodes, nodes}, {cursors, cursors}, {values, values}}; }
};

/// q, k, v [N, C]. A channel's symbols repeat themselves more, the higher its number is.
RosaInputs RandomInputs(Dim rows, Dim width, uint64_t seed) {
  RosaInputs in{RandomTensor({rows, width}, seed), RandomTensor({rows, width}, seed + 1),
                RandomTensor({rows, width}, seed + 2), RandomTensor({width}, seed + 3),
                RandomTensor({width}, seed + 4)};
  for (const Tensor& x : {in.q, in.k}) {
    for (Dim i = 0; i < x.size(); ++i) x.data()[i] += 0.5f * static_cast<float>(i % width);
  }
  return in;
}

Tensor RowsOf(const Tensor& x, Dim first, Dim count) {
  std::vector<int> rows;
  for (Dim i = 0; i < count; ++i) rows.push_back(static_cast<int>(first + i));
  return ops::Rows(x, rows);
}

RosaInputs Part(const RosaInputs& in, Dim first, Dim count) {
  return {RowsOf(in.q, first, count), RowsOf(in.k, first, count), RowsOf(in.v, first, count), in.zero,
          in.one};
}

std::vector<int> Symbols(const Tensor& x, Dim first, Dim count, Dim group, int bits) {
  std::vector<int> symbols;
  for (Dim t = first; t < first + count; ++t) {
    int symbol = 0;
    for (int b = 0; b < bits; ++b) symbol |= (x.data()[t * x.dim(1) + group * bits + b] > 0) << b;
    symbols.push_back(symbol);
  }
  return symbols;
}

/// By the definition, of rows [first, first + count), which are a sequence.
std::vector<float> Expected(const RosaInputs& in, int bits, bool unmatched_is_zero, Dim first, Dim count) {
  const Dim width = in.q.dim(1);
  std::vector<float> y(count * width);
  for (Dim g = 0; g < width / bits; ++g) {
    const std::vector<int> found =
        reference::Rosa(Symbols(in.q, first, count, g, bits), Symbols(in.k, first, count, g, bits),
                        Symbols(in.v, first, count, g, bits));
    for (Dim t = 0; t < count; ++t) {
      for (Dim c = g * bits; c < (g + 1) * bits; ++c) {
        const int value = std::max(found[t], 0);
        const float said = (value >> (c - g * bits) & 1) ? in.one.data()[c] : in.zero.data()[c];
        y[t * width + c] = found[t] < 0 && !unmatched_is_zero ? 0 : said;
      }
    }
  }
  return y;
}

/// What the op says of the first rows of `in`, in pieces of these lengths.
std::vector<float> InPieces(const RosaInputs& in, int bits, bool unmatched_is_zero,
                            const std::vector<int>& pieces, const Memory& memory) {
  std::vector<float> y;
  Dim at = 0;
  for (int piece : pieces) {
    Sequences one = Ragged({piece});
    const Tensor part = ops::Rosa(Part(in, at, piece), bits, unmatched_is_zero, one, memory.InPlace(),
                                  {memory.seen, memory.seen});
    y.insert(y.end(), part.data(), part.data() + part.size());
    at += piece;
  }
  return y;
}

TEST(Rosa, FindsWhatTheDefinitionSaysOnAnyCut) {
  for (int bits : {1, 4}) {
    for (Dim rows : {1, 2, 3, 5, 200}) {
      const RosaInputs in = RandomInputs(rows, 12, 10 * rows);
      for (bool unmatched_is_zero : {false, true}) {
        const std::vector<float> expected = Expected(in, bits, unmatched_is_zero, 0, rows);
        std::vector<std::vector<int>> cuts{{static_cast<int>(rows)}, std::vector<int>(rows, 1)};
        if (rows == 200) cuts.push_back({1, 98, 2, 99});
        for (const std::vector<int>& pieces : cuts) {
          const Memory memory(12 / bits, bits, rows);
          EXPECT_EQ(InPieces(in, bits, unmatched_is_zero, pieces, memory), expected)
              << bits << " bits, " << rows << " rows in " << pieces.size() << " pieces";
        }
      }
    }
  }
}

TEST(Rosa, SequencesDoNotSeeEachOtherAndKeepTheirOwnStates) {
  const std::vector<int> lengths{17, 1, 40};
  const Sequences sequences = Ragged(lengths);
  const RosaInputs in = RandomInputs(58, 8, 3);
  Memory before(8, 1, 64), after(8, 1, 64);
  const auto grown = [](const Tensor& x) {
    Shape shape = x.shape();
    return Tensor::Zeros(shape.rank() == 4   ? Shape{4, shape[1], shape[2], shape[3]}
                         : shape.rank() == 3 ? Shape{4, shape[1], shape[2]}
                                             : Shape{4, shape[1]});
  };
  for (Memory* m : {&before, &after}) {
    for (Tensor* x : {&m->nodes, &m->cursors, &m->values, &m->seen}) *x = grown(*x);
  }
  const RosaMemory memory{
      {before.nodes, after.nodes}, {before.cursors, after.cursors}, {before.values, after.values}};
  const Tensor y = ops::Rosa(in, 1, false, sequences, memory, {before.seen, after.seen});
  for (size_t s = 0; s < lengths.size(); ++s) {
    const Dim first = sequences.start[s];
    const auto expected = Expected(in, 1, false, first, lengths[s]);
    EXPECT_EQ(std::memcmp(y.data() + first * 8, expected.data(), expected.size() * sizeof(float)), 0) << s;
    EXPECT_EQ(after.seen.data()[sequences.slot[s]], lengths[s]);
  }
  EXPECT_EQ(after.seen.data()[0], 0);
  for (const Tensor& untouched : {before.nodes, before.cursors, before.values, before.seen}) {
    for (Dim i = 0; i < untouched.size(); ++i) ASSERT_EQ(untouched.data()[i], 0);
  }
}

TEST(Rosa, NumbersOfAStateFromElsewhereLeadNowhereElse) {
  const RosaInputs in = RandomInputs(30, 8, 5);
  const float odd[] = {std::numeric_limits<float>::quiet_NaN(),
                       std::numeric_limits<float>::infinity(),
                       -1e30f,
                       1e30f,
                       -1,
                       0.5f,
                       3,
                       16777216.0f};
  for (int bits : {1, 4}) {
    for (uint64_t seed = 0; seed < 200; ++seed) {
      Random random(seed);
      const Memory memory(8 / bits, bits, 40);
      for (const Tensor& x : {memory.nodes, memory.cursors, memory.values}) {
        for (Dim i = 0; i < x.size(); ++i) {
          x.data()[i] = seed % 2 ? odd[random.Bits() % 8] : static_cast<float>(random.Bits() % 90);
        }
      }
      memory.seen.data()[1] = static_cast<float>(seed % 11);
      EXPECT_EQ(InPieces(in, bits, true, {7, 1, 22}, memory).size(), 30u * 8);
    }
  }
}

TEST(Rosa, RefusesWhatDoesNotFit) {
  const RosaInputs in = RandomInputs(6, 8, 1);
  EXPECT_THROW(InPieces(in, 1, true, {6}, Memory(8, 1, 5)), Error);  // more rows than memory
  EXPECT_THROW(InPieces(in, 4, true, {6}, Memory(8, 1, 9)), Error);
  EXPECT_THROW(InPieces(in, 3, true, {6}, Memory(8, 3, 9)), Error);
  const Memory memory(8, 1, 9);
  memory.seen.data()[1] = 2.5f;
  EXPECT_THROW(InPieces(in, 1, true, {6}, memory), Error);
  Tape tape;
  in.one.Track();
  EXPECT_THROW(InPieces(in, 1, true, {6}, Memory(8, 1, 9)), Error);
}

}  // namespace
}  // namespace linnet

// The diagonal scan and the row before, on ragged batches with states in shuffled slots.
#include "ops/dropout.h"
#include "ops/op_case.h"
#include "ops/ragged.h"

namespace linnet {
namespace {

OpCase PreviousCase(const std::vector<int>& lengths, Dim width) {
  const Sequences sequences = Ragged(lengths);
  const Dim n = sequences.start.back(), slots = static_cast<Dim>(lengths.size()) + 1;
  return {"rows " + std::to_string(n),
          {RandomTensor({n, width}, 1), RandomTensor({slots, width}, 2)},
          [=](const auto& t) {
            const Tensor out = Tensor::Zeros(t[1].shape());
            return std::vector{ops::Previous(t[0], sequences, {t[1], out}), out};
          },
          [=](const auto& v) { return reference::Previous(v[0], v[1], sequences, width); }};
}

TEST(Previous, IsTheRowBeforeAndTheLastIsTheState) {
  for (const auto& lengths : kLengths) Check(PreviousCase(lengths, 5));
  Check(PreviousCase({900, 3}, 48));  // more than one thread's share
}

/// Factors of this size; the same for all rows unless `of_rows`.
OpCase ScanCase(const std::vector<int>& lengths, Dim width, ScanKind kind, bool of_rows) {
  const Sequences sequences = Ragged(lengths);
  const Dim n = sequences.start.back(), slots = static_cast<Dim>(lengths.size()) + 1;
  OpCase c{"rows " + std::to_string(n) + ", width " + std::to_string(width) + ", kind " +
               std::to_string(static_cast<int>(kind)) + (of_rows ? ", factors of rows" : ""),
           {RandomTensor(of_rows ? Shape{n, width} : Shape{width}, 1, 0.5), RandomTensor({n, width}, 2),
            RandomTensor({slots, width}, 3)},
           [=](const auto& t) {
             const Tensor out = Tensor::Zeros(t[2].shape());
             return std::vector{ops::DiagonalScan(t[0], t[1], sequences, {t[2], out}, kind), out};
           },
           [=](const auto& v) { return reference::Scan(v[0], v[1], v[2], kind, sequences, width); }};
  for (Dim i = 0; i < c.inputs[0].size(); ++i) {  // within the unit disc, where recurrences are used
    float& a = c.inputs[0].data()[i];
    a = std::clamp(a, -0.7f, 0.7f);
  }
  return c;
}

constexpr ScanKind kKinds[] = {ScanKind::kSum, ScanKind::kAverage, ScanKind::kComplex};

TEST(DiagonalScan, IsTheRecurrenceForwardAndBackward) {
  for (const auto& lengths : kLengths) {
    for (Dim width : {2, 32, 74}) {
      for (ScanKind kind : kKinds) {
        for (bool of_rows : {true, false}) Check(ScanCase(lengths, width, kind, of_rows));
      }
    }
  }
}

TEST(DiagonalScan, IsTheSameWhereThreadsShareChannelsOrSequences) {
  for (ScanKind kind : kKinds) {
    CheckValues(ScanCase({300}, 300, kind, true));
    CheckValues(ScanCase({200, 1, 90, 4, 160}, 300, kind, false));
    CheckGradients(ScanCase({70, 1, 40}, 300, kind, false));
  }
}

TEST(DiagonalScan, AnyCutGivesTheSameBits) {
  const Tensor a = RandomTensor({50, 40}, 1, 0.4), b = RandomTensor({50, 40}, 2);
  const auto scanned = [&](const std::vector<int>& pieces) {
    Values all;
    const Tensor state = Tensor::Zeros({1, 40});
    Dim at = 0;
    for (int piece : pieces) {
      Sequences one;
      one.start = {0, piece};
      one.slot = {0};
      const auto rows = [&](const Tensor& x) {
        const Tensor part = Tensor::Empty({piece, 40});
        std::copy_n(x.data() + at * 40, piece * 40, part.data());
        return part;
      };
      const Values h = ToValues(ops::DiagonalScan(rows(a), rows(b), one, {state, state}));
      all.insert(all.end(), h.begin(), h.end());
      at += piece;
    }
    return all;
  };
  const Values whole = scanned({50});
  EXPECT_EQ(scanned(std::vector<int>(50, 1)), whole);
  EXPECT_EQ(scanned({17, 1, 32}), whole);
}

/// An op of {inputs..., state} along time against its reference, which returns {rows, final state}.
OpCase AlongTime(const std::string& name, const std::vector<Tensor>& inputs,
                 const std::function<Tensor(const std::vector<Tensor>&, const StateRef&)>& op,
                 const std::function<Outputs(const std::vector<Values>&)>& reference) {
  return {name, inputs,
          [=](const auto& t) {
            const Tensor out = Tensor::Zeros(t.back().shape());
            const Tensor y = op(t, {t.back(), out});
            return std::vector{y, out};
          },
          reference};
}

TEST(Sru, IsTheRecurrenceForwardAndBackward) {
  for (const auto& lengths : kLengths) {
    for (Dim width : {3, 37, 130}) {
      const Sequences sequences = Ragged(lengths);
      const Dim n = sequences.start.back(), slots = static_cast<Dim>(lengths.size()) + 1;
      std::vector<Tensor> in;
      for (int i = 0; i < 4; ++i) in.push_back(RandomTensor({n, width}, i));
      for (int i = 4; i < 6; ++i) in.push_back(RandomTensor({width}, i));
      in.push_back(RandomTensor({slots, width}, 6));
      Check(AlongTime(
          "rows " + std::to_string(n) + ", width " + std::to_string(width), in,
          [=](const auto& t, const StateRef& state) {
            return ops::Sru({t[0], t[1], t[2], t[3], t[4], t[5]}, sequences, state);
          },
          [=](const auto& v) {
            return reference::Sru({v.begin(), v.begin() + 6}, v[6], sequences);
          }));
    }
  }
}

TEST(StateSpace, IsTheRecurrenceForwardAndBackward) {
  for (const auto& lengths : std::vector<std::vector<int>>{{1}, {2, 1}, {31, 3}, {32}, {33, 1}, {70}}) {
    for (const auto& [width, modes] : {std::pair{3, 2}, {18, 5}, {33, 1}}) {
      const Sequences sequences = Ragged(lengths);
      const Dim n = sequences.start.back(), slots = static_cast<Dim>(lengths.size()) + 1;
      const std::vector<Tensor> in{RandomTensor({n, width}, 1), RandomTensor({2, modes, width}, 2, 0.4),
                                   RandomTensor({2, modes, width}, 3),
                                   RandomTensor({slots, 2, modes, width}, 4)};
      for (Dim i = 0; i < in[1].size(); ++i) in[1].data()[i] = std::clamp(in[1].data()[i], -0.65f, 0.65f);
      Check(AlongTime(
          "rows " + std::to_string(n) + ", features " + std::to_string(width), in,
          [=](const auto& t, const StateRef& state) {
            return ops::StateSpace({t[0], t[1], t[2]}, sequences, state);
          },
          [=, width = width](const auto& v) { return reference::StateSpace(v, sequences, width); }));
    }
  }
}

TEST(DenseRecurrence, IsTheRecurrenceForwardAndBackward) {
  for (const auto& lengths : kLengths) {
    const Sequences sequences = Ragged(lengths);
    const Dim n = sequences.start.back(), slots = static_cast<Dim>(lengths.size()) + 1, width = 7;
    const std::vector<Tensor> in{RandomTensor({n, width}, 1), RandomTensor({width, width}, 2, 0.3),
                                 RandomTensor({slots, width}, 3)};
    for (ops::Act act : {ops::Act::kTanh, ops::Act::kNone}) {
      Check(AlongTime(
          "rows " + std::to_string(n), in,
          [=](const auto& t, const StateRef& state) {
            return ops::DenseRecurrence(t[0], t[1], act, sequences, state);
          },
          [=](const auto& v) {
            return reference::DenseRecurrence(v[0], {}, v[1], v[2], act == ops::Act::kTanh, sequences, width);
          }));
    }
    Check(AlongTime(
        "gated, rows " + std::to_string(n), {in[0], RandomTensor({n, width}, 4), in[1], in[2]},
        [=](const auto& t, const StateRef& state) {
          return ops::MinimalRecurrence(t[1], t[0], t[2], sequences, state);
        },
        [=](const auto& v) {
          return reference::DenseRecurrence(v[0], v[1], v[2], v[3], false, sequences, width);
        }));
  }
}

TEST(Eigenvalues, AreWhatTheirKindSays) {
  for (EigenKind kind : {EigenKind::kExp, EigenKind::kStable, EigenKind::kZeroOrderHold}) {
    const std::vector<Tensor> in{RandomTensor({6}, 1), RandomTensor({6}, 2), RandomTensor({3}, 3)};
    OpCase c{"kind " + std::to_string(static_cast<int>(kind)), in,
             [=](const auto& t) {
               const ops::Eigen e = ops::Eigenvalues({t[0], t[1], t[2]}, kind);
               return std::vector{e.a, e.gain};
             },
             [=](const auto& v) { return reference::Eigenvalues(v[0], v[1], v[2], kind); }};
    Check(c);
  }
  Check(OpCase{
      "real",
      {RandomTensor({4}, 1), RandomTensor({4}, 2)},
      [](const auto& t) {
        const ops::Eigen e = ops::Eigenvalues({t[0], {}, t[1]}, EigenKind::kZeroOrderHold);
        return std::vector{e.a, e.gain};
      },
      [](const auto& v) { return reference::Eigenvalues(v[0], {}, v[1], EigenKind::kZeroOrderHold); }});
}

TEST(Zoneout, KeepsAndScalesNothing) {
  const Tensor f = RandomTensor({40, 30}, 1);
  EXPECT_EQ(ToValues(ops::Zoneout(f, 3)), ToValues(f));
  const ops::DropoutScope scope({0.25f, 1, 2, 0});
  f.Track();
  Tape tape;
  const Tensor y = ops::Zoneout(f, 3), ones = RandomTensor(f.shape(), 1, 0);
  std::fill_n(ones.data(), ones.size(), 1.0f);
  Accumulate(y.gradient(), ones);
  tape.Backward();
  int kept = 0;
  for (Dim i = 0; i < f.size(); ++i) {
    const bool out = y.data()[i] != f.data()[i];
    kept += out;
    ASSERT_EQ(y.data()[i], out ? 1 : f.data()[i]);
    ASSERT_EQ(f.grad().data()[i], out ? 0 : 1);
  }
  EXPECT_NEAR(kept, 300, 60);
}

TEST(DiagonalScan, RefusesWhatDoesNotFit) {
  const Sequences one = Ragged({3});
  const Tensor x = RandomTensor({3, 5}, 1), state = Tensor::Zeros({2, 5}), wrong = Tensor::Zeros({2, 6});
  EXPECT_NO_THROW(ops::DiagonalScan(x, x, one, {state, state}));
  EXPECT_THROW(ops::DiagonalScan(x, x, one, {wrong, wrong}), Error);
  EXPECT_THROW(ops::DiagonalScan(RandomTensor({4}, 1), x, one, {state, state}), Error);
  EXPECT_THROW(ops::DiagonalScan(x, x, one, {state, state}, ScanKind::kComplex), Error);
  EXPECT_THROW(ops::DiagonalScan(x, x, Ragged({2}), {state, state}), Error);
}

}  // namespace
}  // namespace linnet

// Cells of recurrent networks: values and gradients through all steps on ragged batches.
#include "ops/op_case.h"

namespace linnet {
namespace {

OpCase CaseOf(CellKind kind, const std::vector<int>& lengths, Dim width) {
  Sequences sequences;
  for (size_t s = 0; s < lengths.size(); ++s) {
    sequences.start.push_back(sequences.start.back() + lengths[s]);
    sequences.slot.push_back(static_cast<int>(lengths.size() - s));  // slot 0 stays unused
  }
  const Dim n = sequences.start.back(), slots = static_cast<Dim>(lengths.size()) + 1;
  const size_t gates = kind == CellKind::kTanh ? 1 : kind == CellKind::kGru ? 3 : 4;
  const Dim variables = kind == CellKind::kLstm ? 2 : 1;
  OpCase c{fmt::format("kind {}, {} rows of {}", static_cast<int>(kind), n, width), {}, {}, {}};
  for (size_t g = 0; g < gates; ++g) c.inputs.push_back(RandomTensor({n, width}, 10 + g));
  for (size_t g = 0; g < gates; ++g) {
    c.inputs.push_back(RandomTensor({width, width}, 20 + g, 1 / std::sqrt(static_cast<double>(width))));
  }
  c.inputs.push_back(RandomTensor({slots, variables, width}, 30, 0.5));
  c.op = [=](const std::vector<Tensor>& t) {
    const auto u = t.begin() + static_cast<std::ptrdiff_t>(gates);
    const Tensor left = Tensor::Zeros(t.back().shape());
    const Tensor y =
        ops::RecurrentCell(kind, {{t.begin(), u}, {u, t.end() - 1}}, sequences, {t.back(), left});
    return std::vector{y, left};
  };
  c.reference = [=](const std::vector<Values>& v) {
    return reference::RecurrentCell(kind, v, sequences, static_cast<size_t>(width));
  };
  c.value_tolerance = 5e-6;
  return c;
}

TEST(RecurrentCell, IsItsFormulaStepByStep) {
  for (CellKind kind : {CellKind::kTanh, CellKind::kGru, CellKind::kLstm}) {
    Check(CaseOf(kind, {1}, 3));
    Check(CaseOf(kind, {7, 1, 12}, 20));
    Check(CaseOf(kind, {5, 5, 5, 2}, 33));
  }
}

TEST(RecurrentCell, RefusesShapesThatDoNotFit) {
  Sequences one;
  one.start.push_back(2);
  one.slot.push_back(0);
  const Tensor x = RandomTensor({2, 4}, 1), u = RandomTensor({4, 4}, 2), narrow = RandomTensor({4, 3}, 3);
  const Tensor h = Tensor::Zeros({1, 1, 4}), hc = Tensor::Zeros({1, 2, 4});
  EXPECT_NO_THROW(ops::RecurrentCell(CellKind::kTanh, {{x}, {u}}, one, {h, h}));
  EXPECT_THROW(ops::RecurrentCell(CellKind::kTanh, {{x}, {narrow}}, one, {h, h}), Error);
  EXPECT_THROW(ops::RecurrentCell(CellKind::kGru, {{x}, {u}}, one, {h, h}), Error);
  EXPECT_THROW(ops::RecurrentCell(CellKind::kTanh, {{x}, {u}}, one, {hc, hc}), Error);
  one.start.back() = 3;
  EXPECT_THROW(ops::RecurrentCell(CellKind::kTanh, {{x}, {u}}, one, {h, h}), Error);
}

}  // namespace
}  // namespace linnet

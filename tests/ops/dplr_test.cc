// State spaces whose matrix is diagonal plus low rank: cut into steps, as recurrences and as convolutions.
#include "ops/dplr_reference.h"
#include "ops/op_case.h"
#include "ops/ragged.h"

namespace linnet {
namespace {

/// Parameters as models have them: re, im, P, B, step.
std::vector<Tensor> Parameters(Dim modes, Dim width) {
  const std::vector<Tensor> p{RandomTensor({modes}, 1, 0.5), RandomTensor({modes}, 2, 8),
                              RandomTensor({2, modes}, 3), RandomTensor({2, modes}, 4),
                              RandomTensor({width}, 5, 0.7)};
  for (Dim h = 0; h < width; ++h) p[4].data()[h] -= 2.5;
  return p;
}

/// {a, p, q, b, c} of those, whose states die away.
std::vector<Tensor> Numbers(Dim modes, Dim width) {
  const std::vector<Tensor> p = Parameters(modes, width);
  const DplrInputs d = ops::Bilinear({p[0], p[1], p[2], p[3], p[4]}, RandomTensor({2, modes, width}, 6));
  return {d.a, d.p, d.q, d.b, d.c};
}

TEST(Bilinear, IsItsFormula) {
  for (const auto& [width, modes] : {std::pair{1, 1}, {3, 4}, {18, 5}}) {
    Check(OpCase{"features " + std::to_string(width), Parameters(modes, width),
                 [=, width = width, modes = modes](const auto& t) {
                   const DplrInputs d =
                       ops::Bilinear({t[0], t[1], t[2], t[3], t[4]}, Tensor::Zeros({2, modes, width}));
                   return std::vector{d.a, d.p, d.q, d.b};
                 },
                 reference::Bilinear});
  }
}

TEST(DplrRecurrence, IsTheRecurrenceForwardAndBackward) {
  for (const auto& lengths : std::vector<std::vector<int>>{{1}, {2, 1}, {31, 3}, {32}, {33, 1}, {70}}) {
    for (const auto& [width, modes] : {std::pair{3, 2}, {18, 5}, {33, 1}}) {
      const Sequences sequences = Ragged(lengths);
      const Dim n = sequences.start.back(), slots = static_cast<Dim>(lengths.size()) + 1;
      std::vector<Tensor> in = Numbers(modes, width);
      in.insert(in.begin(), RandomTensor({n, width}, 7));
      in.push_back(RandomTensor({slots, 2, modes, width}, 8));
      Check(OpCase{
          "rows " + std::to_string(n) + ", features " + std::to_string(width), in,
          [=](const auto& t) {
            const Tensor out = Tensor::Zeros(t[6].shape());
            const Tensor y =
                ops::DplrRecurrence(t[0], {t[1], t[2], t[3], t[4], t[5]}, sequences, {t[6], out});
            return std::vector{y, out};
          },
          [=, width = width](const auto& v) { return reference::DplrRecurrence(v, sequences, width); }});
    }
  }
}

TEST(DplrKernel, IsWhatTheRecurrenceSaysToAnImpulse) {
  for (Dim length : {1, 2, 7, 40, 130}) {
    for (const auto& [width, modes] : {std::pair{3, 4}, {18, 5}}) {
      Check(OpCase{
          "length " + std::to_string(length), Numbers(modes, width),
          [=](const auto& t) {
            return std::vector{ops::DplrKernel({t[0], t[1], t[2], t[3], t[4]}, length)};
          },
          [=, width = width](const auto& v) { return Outputs{reference::DplrKernel(v, length, width)}; }});
    }
  }
}

TEST(DplrKernel, IsExactWhereItHasNotDiedAway) {
  std::vector<Tensor> p = Parameters(4, 3);
  for (Dim h = 0; h < 3; ++h) p[4].data()[h] = -9;  // a step so short that 300 steps forget next to nothing
  const DplrInputs d = ops::Bilinear({p[0], p[1], p[2], p[3], p[4]}, RandomTensor({2, 4, 3}, 6));
  CheckValues({"slow",
               {d.a, d.p, d.q, d.b, d.c},
               [](const auto& t) {
                 return std::vector{ops::DplrKernel({t[0], t[1], t[2], t[3], t[4]}, 300)};
               },
               [](const auto& v) { return Outputs{reference::DplrKernel(v, 300, 3)}; }});
}

TEST(LongConvolution, IsTheSumForwardAndBackward) {
  for (const auto& lengths : std::vector<std::vector<int>>{{1}, {2, 1}, {15, 40, 16, 3}, {130, 128, 1}}) {
    const Sequences sequences = Ragged(lengths);
    const Dim n = sequences.start.back();
    for (Dim width : {1, 16, 35}) {
      for (Dim length : {Dim{5}, n}) {
        Check(OpCase{"rows " + std::to_string(n) + ", features " + std::to_string(width) + ", kernel " +
                         std::to_string(length),
                     {RandomTensor({n, width}, 1), RandomTensor({length, width}, 2)},
                     [=](const auto& t) { return std::vector{ops::LongConvolution(t[0], t[1], sequences)}; },
                     [=](const auto& v) {
                       return Outputs{reference::LongConvolution(v[0], v[1], sequences, width)};
                     }});
      }
    }
  }
}

}  // namespace
}  // namespace linnet

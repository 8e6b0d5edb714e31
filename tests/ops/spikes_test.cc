// Spiking neurons: their spikes, and that the backward pass is the derivative of what it pretends they are.
// That is held against tangents, pushed forward from one input after the other, in double: no differences of
// losses could tell, as the true slopes are 0.
#include "ops/spikes.h"

#include <numbers>

#include "ops/op_case.h"
#include "ops/ragged.h"

namespace linnet {
namespace {

double Slope(double u) { return 1 / (1 + std::pow(std::numbers::pi * u, 2)); }

/// A neuron that runs with the tangents of its membrane and its spikes.
struct NaiveLif {
  double v, dv, spike = 0, dspike = 0;

  void Take(double x, double dx) {
    const double u = (v + x) / 2, du = (dv + dx) / 2;
    spike = u >= 1 ? 1 : 0;
    dspike = Slope(u - 1) * du;
    v = u * (1 - spike);
    dv = du * (1 - spike) - u * dspike;
  }
};

/// Sequence s, channel c: what `see` is called with after each row, and with row -1 at the end. The tangent
/// is along the input of row `along` (-1: the initial membrane, -2: none).
template <class See>
void RunNaive(const Sequences& sequences, const Tensor& x, const Tensor& state, int s, Dim c, int along,
              const See& see) {
  const Dim width = x.dim(1);
  NaiveLif neuron{state.data()[sequences.slot[s] * width + c], along == -1 ? 1.0 : 0.0};
  for (int t = sequences.start[s]; t < sequences.start[s + 1]; ++t) {
    neuron.Take(x.data()[t * width + c], t == along ? 1 : 0);
    see(t, neuron);
  }
  see(-1, neuron);
}

class LifTest : public testing::TestWithParam<std::vector<int>> {
 protected:
  static constexpr Dim kWidth = 19;
  LifTest()
      : sequences_(Ragged(GetParam())),
        x_(RandomTensor({sequences_.start.back(), kWidth}, 1, 2)),
        state_(RandomTensor({static_cast<Dim>(GetParam().size()) + 1, kWidth}, 2, 0.5)),
        left_(Tensor::Zeros(state_.shape())) {}

  Sequences sequences_;
  Tensor x_, state_, left_;
};

TEST_P(LifTest, SpikesAreThoseOfTheFormula) {
  const Tensor y = ops::Lif(x_, sequences_, {state_, left_}, 0);
  int spikes = 0;
  for (int s = 0; s < sequences_.sequences(); ++s) {
    for (Dim c = 0; c < kWidth; ++c) {
      RunNaive(sequences_, x_, state_, s, c, -2, [&](int t, const NaiveLif& neuron) {
        if (t >= 0) {
          EXPECT_EQ(y.data()[t * kWidth + c], neuron.spike);
          spikes += neuron.spike > 0;
        } else {
          EXPECT_NEAR(left_.data()[sequences_.slot[s] * kWidth + c], neuron.v, 1e-6);
        }
      });
    }
  }
  EXPECT_GT(spikes, 0);
  EXPECT_LT(spikes, y.size());
}

TEST_P(LifTest, GradientsAreThoseOfTheSurrogate) {
  const Tensor dy = RandomTensor(x_.shape(), 3), dleft = RandomTensor(left_.shape(), 4);
  x_.Track();
  state_.Track();
  Tape tape;
  const Tensor y = ops::Lif(x_, sequences_, {state_, left_}, 0);
  Accumulate(y.gradient(), dy);
  Accumulate(left_.gradient(), dleft);
  tape.Backward();
  for (int s = 0; s < sequences_.sequences(); ++s) {
    const Dim slot = sequences_.slot[s];
    for (Dim c = 0; c < kWidth; ++c) {
      for (int along = sequences_.start[s] - 1; along < sequences_.start[s + 1]; ++along) {
        const bool of_state = along < sequences_.start[s];
        double slope = 0;
        RunNaive(sequences_, x_, state_, s, c, of_state ? -1 : along, [&](int t, const NaiveLif& neuron) {
          slope +=
              t < 0 ? dleft.data()[slot * kWidth + c] * neuron.dv : dy.data()[t * kWidth + c] * neuron.dspike;
        });
        const float* got =
            of_state ? state_.grad().data() + slot * kWidth : x_.grad().data() + along * kWidth;
        ASSERT_NEAR(got[c], slope, 1e-5) << "sequence " << s << ", channel " << c << ", row " << along;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Lengths, LifTest, testing::ValuesIn(kLengths));

TEST(Lif, InPiecesTheMembraneGoesOn) {
  const Tensor x = RandomTensor({30, 5}, 1, 2), state = Tensor::Zeros({2, 5}), again = Tensor::Zeros({2, 5});
  const Tensor whole = ops::Lif(x, Ragged({30}), {state, state}, 0);
  for (int t = 0; t < 30; ++t) {
    const Tensor row = ops::Lif(ops::Rows(x, std::vector<int>{t}), Ragged({1}), {again, again}, 0);
    for (Dim c = 0; c < 5; ++c) EXPECT_EQ(row.data()[c], whole.data()[t * 5 + c]);
  }
  EXPECT_EQ(ToValues(state), ToValues(again));
}

TEST(Step, IsOneFromZeroOnWithTheSurrogatesSlope) {
  Tensor x = RandomTensor({7, 33}, 1);
  x.data()[5] = 0;
  const Tensor dy = RandomTensor(x.shape(), 2);
  x.Track();
  Tape tape;
  const Tensor y = ops::Step(x, 0);
  Accumulate(y.gradient(), dy);
  tape.Backward();
  for (Dim i = 0; i < x.size(); ++i) {
    EXPECT_EQ(y.data()[i], x.data()[i] >= 0 ? 1 : 0);
    EXPECT_NEAR(x.grad().data()[i], dy.data()[i] * Slope(x.data()[i]), 1e-6);
  }
}

TEST(SpikeCount, CountsBySiteWhileInScope) {
  const Tensor x = Tensor::Zeros({2, 4}), v = Tensor::Zeros({1, 4});
  x.data()[0] = x.data()[6] = 3;
  Sequences one = Ragged({2});
  one.slot[0] = 0;
  ops::SpikeCount outer;
  {
    const ops::SpikeCount inner;
    ops::Lif(x, one, {v, v}, 1);
    ops::Step(x, 0);
    ops::Step(x, 0);
    EXPECT_EQ(inner.sites().at(1).spikes, 2);
    EXPECT_EQ(inner.sites().at(1).neurons, 8);
    EXPECT_EQ(inner.sites().at(0).spikes, 16);
    EXPECT_EQ(inner.RateOfBlocks(), 0.25);
  }
  EXPECT_TRUE(outer.sites().empty());
  EXPECT_FALSE(outer.RateOfBlocks());
  ops::Lif(x, one, {v, v}, 3);
  EXPECT_EQ(outer.sites().size(), 1u);
}

TEST(Lif, RefusesShapesThatDoNotFit) {
  const Tensor x = RandomTensor({3, 4}, 1), v = Tensor::Zeros({2, 4}), narrow = Tensor::Zeros({2, 3});
  EXPECT_THROW(ops::Lif(x, Ragged({2}), {v, v}, 0), Error);
  EXPECT_THROW(ops::Lif(x, Ragged({3}), {narrow, narrow}, 0), Error);
}

}  // namespace
}  // namespace linnet

// The ops that look along time, on ragged batches with states in shuffled slots.
#include "ops/op_case.h"
#include "ops/ragged.h"

namespace linnet {
namespace {

/// `mixes` mixes, the last of which differs from row to row if `of_rows`.
OpCase ShiftMixCase(const std::vector<int>& lengths, Dim width, int mixes, MixShare share, bool of_rows) {
  const Sequences sequences = Ragged(lengths);
  const Dim n = sequences.start.back(), slots = static_cast<Dim>(lengths.size()) + 1;
  std::vector<Tensor> inputs{RandomTensor({n, width}, 1), RandomTensor({slots, width}, 2)};
  for (int m = 0; m < mixes; ++m) {
    inputs.push_back(RandomTensor(of_rows && m + 1 == mixes ? Shape{n, width} : Shape{width}, 3 + m));
  }
  const bool of_now = share == MixShare::kNow;
  return {"rows " + std::to_string(n) + ", width " + std::to_string(width) + (of_now ? ", of now" : ""),
          inputs,
          [=](const auto& t) {
            const Tensor out = Tensor::Zeros(t[1].shape());
            auto ys = ops::ShiftMix(t[0], {t.begin() + 2, t.end()}, sequences, {t[1], out}, share);
            ys.push_back(out);
            return ys;
          },
          [=](const auto& v) {
            return reference::ShiftMix(v[0], {v.begin() + 2, v.end()}, v[1], sequences, of_now, width);
          }};
}

TEST(ShiftMix, MixesWithTheRowBeforeAndCarriesTheState) {
  for (const auto& lengths : kLengths) {
    for (Dim width : {5, 48}) {
      for (MixShare share : {MixShare::kPrevious, MixShare::kNow}) {
        Check(ShiftMixCase(lengths, width, 1, share, false));
        Check(ShiftMixCase(lengths, width, 6, share, false));
        Check(ShiftMixCase(lengths, width, 3, share, true));
      }
    }
  }
}

TEST(ShiftMix, AddsUpTheGradientsOfManyRows) {
  Check(ShiftMixCase({900, 31}, 48, 3, MixShare::kPrevious, true));  // more than one thread's share
}

TEST(ShiftMix, LeavesAStateAloneThatItIsNotToWrite) {
  const Sequences sequences = Ragged({3});
  const Tensor x = RandomTensor({3, 5}, 1), state = RandomTensor({2, 5}, 2), mix = RandomTensor({5}, 3);
  const Tensor before = state.Clone(), first = ops::ShiftMix(x, {mix}, sequences, {state, {}})[0];
  EXPECT_EQ(ToValues(state), ToValues(before));
  EXPECT_EQ(ToValues(ops::ShiftMix(x, {mix}, sequences, {state, state})[0]), ToValues(first));
  EXPECT_NE(ToValues(state), ToValues(before));
}

/// Keys of this size; `empty` sequences begin with nothing, others in the middle of something.
OpCase Wkv4Case(const std::vector<int>& lengths, Dim width, double key_scale, bool empty) {
  const Sequences sequences = Ragged(lengths);
  const Dim n = sequences.start.back(), slots = static_cast<Dim>(lengths.size()) + 1;
  const Tensor state = RandomTensor({slots, 3, width}, 5);
  for (Dim slot = 0; slot < slots; ++slot) {
    float *a = state.data() + slot * 3 * width, *b = a + width, *p = b + width;
    for (Dim c = 0; c < width; ++c) {
      if (empty) a[c] = 0, b[c] = 0, p[c] = ops::kWkv4Nothing;
      b[c] = std::abs(b[c]);  // a sum of weights
    }
  }
  OpCase c{"rows " + std::to_string(n) + ", width " + std::to_string(width) + (empty ? ", empty" : ""),
           {RandomTensor({n, width}, 1, key_scale), RandomTensor({n, width}, 2), RandomTensor({width}, 3, 2),
            RandomTensor({width}, 4), state},
           [=](const auto& t) {
             const Tensor out = Tensor::Zeros(t[4].shape());
             const Tensor y = ops::Wkv4({t[0], t[1], t[2], t[3]}, sequences, {t[4], out});
             return std::vector{y, out};
           },
           [=](const auto& v) {
             return reference::Wkv4({v.begin(), v.begin() + 4}, v[4], sequences);
           }};
  c.value_tolerance = 1e-5;
  return c;
}

TEST(Wkv4, IsTheRecurrenceForwardAndBackward) {
  for (const auto& lengths : kLengths) {
    for (Dim width : {1, 16, 37}) Check(Wkv4Case(lengths, width, 1, false));
  }
  Check(Wkv4Case({70, 9, 1}, 40, 1, false));
}

TEST(Wkv4, KeysBeyondTheRangeOfExpAreSafe) {
  OpCase c = Wkv4Case({70, 9, 1}, 40, 60, false);
  c.gradient_tolerance = 1e-4;
  Check(c);
}

TEST(Wkv4, BeginsWithNothing) { CheckValues(Wkv4Case({40, 1, 2}, 19, 30, true)); }

/// Rates of decay exp(w) with w spread by `spread`; one for all rows unless `of_rows`.
OpCase Wkv6Case(const std::vector<int>& lengths, Dim heads, Dim size, bool of_rows, double spread) {
  const Sequences sequences = Ragged(lengths);
  const Dim n = sequences.start.back(), slots = static_cast<Dim>(lengths.size()) + 1, width = heads * size;
  OpCase c{"rows " + std::to_string(n) + ", " + std::to_string(heads) + " heads of " + std::to_string(size) +
               (of_rows ? ", decays of rows" : ""),
           {RandomTensor({n, width}, 1), RandomTensor({n, width}, 2), RandomTensor({n, width}, 3),
            RandomTensor(of_rows ? Shape{n, width} : Shape{width}, 4, spread), RandomTensor({width}, 5),
            RandomTensor({slots, heads, size, size}, 6)},
           [=](const auto& t) {
             const Tensor out = Tensor::Zeros(t[5].shape());
             const Tensor y =
                 ops::Wkv6({t[0], t[1], t[2], t[3], t[4]}, sequences, {t[5], out}, static_cast<int>(heads));
             return std::vector{y, out};
           },
           [=](const auto& v) {
             return reference::Wkv6({v.begin(), v.begin() + 5}, v[5], sequences, heads);
           }};
  return c;
}

TEST(Wkv6, StepsAndChunksAreTheRecurrence) {
  for (const auto& lengths : kLengths) {
    for (const auto& [heads, size] : {std::pair{1, 4}, {2, 10}, {2, 16}, {1, 33}, {2, 64}}) {
      for (bool of_rows : {true, false}) {
        const OpCase c = Wkv6Case(lengths, heads, size, of_rows, 2);
        SCOPED_TRACE(c.name);
        CheckValues(c);
      }
    }
  }
}

TEST(Wkv6, GradientsAreThoseOfTheRecurrence) {
  for (const auto& lengths : kLengths) {
    for (const auto& [heads, size] : {std::pair{1, 4}, {2, 10}, {2, 16}}) {
      for (bool of_rows : {true, false}) {
        const OpCase c = Wkv6Case(lengths, heads, size, of_rows, 1);
        SCOPED_TRACE(c.name);
        CheckGradients(c);
      }
    }
  }
  CheckGradients(Wkv6Case({35}, 1, 64, true, 1));
}

TEST(Wkv6, DecaysFromNoneToAllAtOnceAreSafe) {
  Check(Wkv6Case({40, 17}, 2, 16, true, 6));  // rates from e^-20 to e^20
  const Sequences sequences = Ragged({20});
  const Tensor x = RandomTensor({20, 8}, 1), w = Tensor::Empty({20, 8}), u = RandomTensor({8}, 2),
               state = Tensor::Zeros({2, 1, 8, 8});
  for (Dim i = 0; i < w.size(); ++i) w.data()[i] = i % 3 == 0 ? 100.0f : -100.0f;  // 0 and 1
  w.Track();
  Tape tape;
  const Tensor y = ops::Wkv6({x, x, x, w, u}, sequences, {state, Tensor::Zeros(state.shape())}, 1);
  Accumulate(y.gradient(), RandomTensor(y.shape(), 3));
  tape.Backward();
  for (Dim i = 0; i < y.size(); ++i) {
    ASSERT_TRUE(std::isfinite(y.data()[i]));
    ASSERT_NEAR(w.grad().data()[i], 0, 1e-30);
  }
}

OpCase Wkv7Case(const std::vector<int>& lengths, Dim heads, Dim size) {
  const Sequences sequences = Ragged(lengths);
  const Dim n = sequences.start.back(), slots = static_cast<Dim>(lengths.size()) + 1, width = heads * size;
  std::vector<Tensor> inputs{
      RandomTensor({n, width}, 1),
      RandomTensor({n, width}, 2, 3),  // decays from one end of their range to the other
      RandomTensor({n, width}, 3),
      RandomTensor({n, width}, 4),
      RandomTensor({n, width}, 5, 1 / std::sqrt(static_cast<double>(size))),
      RandomTensor({n, width}, 6, 1 / std::sqrt(static_cast<double>(size))),
      RandomTensor({slots, heads, size, size}, 7)};
  OpCase c{"rows " + std::to_string(n) + ", " + std::to_string(heads) + " heads of " + std::to_string(size),
           inputs,
           [=](const auto& t) {
             const Tensor out = Tensor::Zeros(t[6].shape());
             const Tensor y = ops::Wkv7({t[0], t[1], t[2], t[3], t[4], t[5]}, sequences, {t[6], out},
                                        static_cast<int>(heads));
             return std::vector{y, out};
           },
           [=](const auto& v) {
             return reference::Wkv7({v.begin(), v.begin() + 6}, v[6], sequences, width, heads);
           }};
  c.value_tolerance = 5e-6;
  c.gradient_tolerance = 5e-5;
  return c;
}

TEST(Wkv7, StepsAndChunksAreTheRecurrence) {
  for (const auto& lengths : kLengths) {
    for (const auto& [heads, size] : {std::pair{1, 4}, {2, 10}, {2, 16}, {1, 33}, {2, 64}}) {
      const OpCase c = Wkv7Case(lengths, heads, size);
      SCOPED_TRACE(c.name);
      CheckValues(c);
    }
  }
}

TEST(Wkv7, GradientsAreThoseOfTheRecurrence) {
  for (const auto& lengths : kLengths) {
    for (const auto& [heads, size] : {std::pair{1, 4}, {2, 10}, {2, 16}}) {
      const OpCase c = Wkv7Case(lengths, heads, size);
      SCOPED_TRACE(c.name);
      CheckGradients(c);
    }
  }
  const OpCase c = Wkv7Case({35}, 1, 64);
  CheckGradients(c);
}

TEST(Wkv7, RefusesStatesOfAnotherShape) {
  const Sequences one = [] {
    Sequences s;
    s.start = {0, 2};
    s.slot = {0};
    return s;
  }();
  const Tensor x = RandomTensor({2, 8}, 1), state = Tensor::Zeros({1, 2, 4, 4}),
               wrong = Tensor::Zeros({1, 2, 4, 5});
  EXPECT_NO_THROW(ops::Wkv7({x, x, x, x, x, x}, one, {state, state}, 2));
  EXPECT_THROW(ops::Wkv7({x, x, x, x, x, x}, one, {wrong, wrong}, 2), Error);
  EXPECT_THROW(ops::Wkv7({x, x, x, x, x, x}, one, {state, state}, 3), Error);
}

}  // namespace
}  // namespace linnet

// Attention over a cache: values and gradients on ragged batches, with rows of earlier batches and without.
#include "ops/op_case.h"

namespace linnet {
namespace {

constexpr Dim kCapacity = 41;

struct AttentionCase {
  std::vector<int> lengths;  // of the sequences; slots in reverse order, slot 0 unused
  int past;                  // rows that the first slot's cache holds; others hold fewer
  Dim width_k, width_v;
  SoftCap soft;
  Dim heads = 1;
};

OpCase CaseOf(const AttentionCase& a) {
  Sequences sequences;
  std::vector<int> past{3};  // of the unused slot
  for (size_t s = 0; s < a.lengths.size(); ++s) {
    sequences.start.push_back(sequences.start.back() + a.lengths[s]);
    sequences.slot.push_back(static_cast<int>(a.lengths.size() - s));
    past.push_back(a.past / static_cast<int>(s + 1));
  }
  const Dim n = sequences.start.back(), slots = static_cast<Dim>(past.size());
  const auto cache = [&](Dim width) {
    return a.heads == 1 ? Shape{slots, kCapacity, width} : Shape{slots, a.heads, kCapacity, width / a.heads};
  };
  OpCase c{fmt::format("{} rows, {} before, {} heads of {} x {}", n, a.past, a.heads, a.width_k, a.width_v),
           {RandomTensor({n, a.width_k}, 1), RandomTensor({n, a.width_k}, 2), RandomTensor({n, a.width_v}, 3),
            RandomTensor(cache(a.width_k), 4), RandomTensor(cache(a.width_v), 5)},
           [=](const auto& t) {
             const Tensor keys = Tensor::Zeros(t[3].shape()), values = Tensor::Zeros(t[4].shape()),
                          length = Tensor::Zeros({slots, 1});
             std::copy(past.begin(), past.end(), length.data());
             const Tensor y =
                 ops::Attention({t[0], t[1], t[2]}, sequences,
                                {{t[3], keys}, {t[4], values}, {length, Tensor::Zeros({slots, 1})}}, a.soft);
             return std::vector{y, keys, values};
           },
           [=](const auto& v) {
             return reference::Attention(v, sequences, past, kCapacity, a.width_k, a.width_v, a.soft.scale,
                                         a.soft.cap, a.heads);
           }};
  c.value_tolerance = 5e-6;
  return c;
}

TEST(Attention, IsTheSoftmaxOfItsScoresOverAllThatWasSeen) {
  const SoftCap steep{0.3f, 4}, published{1.0f / 1024, 64};
  const AttentionCase cases[] = {{{1}, 0, 3, 2, steep},
                                 {{1}, 40, 17, 33, steep},
                                 {{9, 1, 20}, 0, 16, 5, steep},
                                 {{2, 21, 7}, 20, 19, 48, steep},
                                 {{33}, 8, 256, 40, published},
                                 {{2, 21, 7}, 20, 18, 24, {0.4f, 0}, 3},
                                 {{9, 1, 20}, 5, 64, 64, {0.25f, 0}, 2},
                                 {{9, 1, 20}, 0, 20, 40, steep, 5}};
  for (const AttentionCase& a : cases) Check(CaseOf(a));
}

/// One slot of a cache for tests of a single sequence.
struct Cache {
  Tensor keys = Tensor::Zeros({1, kCapacity, 4}), values = Tensor::Zeros({1, kCapacity, 3}),
         length = Tensor::Zeros({1, 1});
  AttentionCache in_place() const { return {{keys, keys}, {values, values}, {length, length}}; }
};

Sequences One(int rows) {
  Sequences one;
  one.start.push_back(rows);
  one.slot.push_back(0);
  return one;
}

TEST(Attention, ARowIsTheSameToTheBitHoweverManyAreReadWithIt) {
  const AttentionInputs all{RandomTensor({11, 4}, 1), RandomTensor({11, 4}, 2), RandomTensor({11, 3}, 3)};
  const Cache together, apart;
  const Tensor y = ops::Attention(all, One(11), together.in_place(), {1, 5});
  for (int t = 0; t < 11; ++t) {
    const std::vector<int> row_t{t};
    const AttentionInputs row{ops::Rows(all.q, row_t), ops::Rows(all.k, row_t), ops::Rows(all.v, row_t)};
    const Tensor one = ops::Attention(row, One(1), apart.in_place(), {1, 5});
    for (int i = 0; i < 3; ++i) EXPECT_EQ(one.data()[i], y.data()[t * 3 + i]) << t;
  }
}

TEST(Attention, CountsWhatItHasSeenAndRefusesMoreThanItCanKeep) {
  const auto inputs = [](Dim n) {
    return AttentionInputs{RandomTensor({n, 4}, 1), RandomTensor({n, 4}, 2), RandomTensor({n, 3}, 3)};
  };
  const Cache cache;
  ops::Attention(inputs(30), One(30), cache.in_place(), {1, 1});
  ops::Attention(inputs(11), One(11), cache.in_place(), {1, 1});
  EXPECT_EQ(cache.length.data()[0], kCapacity);
  EXPECT_THROW(ops::Attention(inputs(1), One(1), cache.in_place(), {1, 1}), Error);
  EXPECT_EQ(cache.length.data()[0], kCapacity) << "what is refused changes nothing";
}

TEST(Attention, RefusesLengthsThatAreNone) {
  const Tensor x = RandomTensor({1, 4}, 1), v = RandomTensor({1, 3}, 2);
  for (float length : {-1.0f, 0.5f, 1e9f, std::nanf(""), INFINITY}) {
    const Cache cache;
    cache.length.data()[0] = length;
    EXPECT_THROW(ops::Attention({x, x, v}, One(1), cache.in_place(), {1, 1}), Error) << length;
  }
}

TEST(Attention, RefusesShapesThatDoNotFit) {
  const Tensor x = RandomTensor({2, 4}, 1), v = RandomTensor({2, 3}, 2), narrow = RandomTensor({2, 2}, 2);
  const Cache cache;
  EXPECT_NO_THROW(ops::Attention({x, x, v}, One(2), cache.in_place(), {1, 1}));
  EXPECT_THROW(ops::Attention({x, narrow, v}, One(2), cache.in_place(), {1, 1}), Error);
  EXPECT_THROW(ops::Attention({x, x, narrow}, One(2), cache.in_place(), {1, 1}), Error);
  EXPECT_THROW(ops::Attention({x, x, v}, One(3), cache.in_place(), {1, 1}), Error);
}

struct AverageCase {
  std::vector<int> lengths;
  int past;  // of the first; others have seen less
  Dim width, window;
};

OpCase CaseOf(const AverageCase& a) {
  Sequences sequences;
  std::vector<int> past{2};  // of the unused slot
  for (size_t s = 0; s < a.lengths.size(); ++s) {
    sequences.start.push_back(sequences.start.back() + a.lengths[s]);
    sequences.slot.push_back(static_cast<int>(a.lengths.size() - s));
    past.push_back(a.past / static_cast<int>(s + 1));
  }
  const Dim n = sequences.start.back(), slots = static_cast<Dim>(past.size());
  return {
      fmt::format("{} rows of {}, {} before, window {}", n, a.width, a.past, a.window),
      {RandomTensor({n, a.width}, 1), RandomTensor({n, a.width}, 2), RandomTensor({n, kCapacity}, 3),
       RandomTensor({slots, kCapacity, a.width}, 4), RandomTensor({slots, kCapacity, a.width}, 5)},
      [=](const auto& t) {
        const Tensor keys = Tensor::Zeros(t[3].shape()), values = Tensor::Zeros(t[4].shape()),
                     length = Tensor::Zeros({slots, 1});
        std::copy(past.begin(), past.end(), length.data());
        const Tensor y =
            ops::AftAverage({t[0], t[1], t[2]}, sequences,
                            {{t[3], keys}, {t[4], values}, {length, Tensor::Zeros({slots, 1})}}, a.window);
        return std::vector{y, keys, values};
      },
      [=](const auto& v) { return reference::AftAverage(v, sequences, past, kCapacity, a.width, a.window); },
      5e-6};
}

TEST(AftAverage, IsItsFormula) {
  const AverageCase cases[] = {
      {{1}, 7, 3, 5}, {{9, 1, 20}, 0, 17, 4}, {{2, 21, 7}, 20, 8, 100}, {{33}, 8, 40, 1}};
  for (const AverageCase& a : cases) Check(CaseOf(a));
}

TEST(AftAverage, HoldsKeysThatLieFarBelowTheLargest) {
  const Tensor k = Tensor::Zeros({2, 1}), v = Tensor::Zeros({2, 1}), w = Tensor::Zeros({2, 2});
  k.data()[1] = 1000;
  v.data()[0] = 3;
  const Tensor cache = Tensor::Zeros({1, 2, 1}), length = Tensor::Zeros({1, 1});
  const Tensor y = ops::AftAverage({k, v, w}, One(2),
                                   {{cache, cache}, {cache.Clone(), cache.Clone()}, {length, length}}, 2);
  EXPECT_FLOAT_EQ(y.data()[0], 3) << "the only one that the first row sees";
  EXPECT_NEAR(y.data()[1], 0, 1e-30);
}

struct ConvCase {
  std::vector<int> lengths;
  Dim heads, width, window;
};

OpCase CaseOf(const ConvCase& a) {
  Sequences sequences;
  for (size_t s = 0; s < a.lengths.size(); ++s) {
    sequences.start.push_back(sequences.start.back() + a.lengths[s]);
    sequences.slot.push_back(static_cast<int>(a.lengths.size() - s));
  }
  const Dim n = sequences.start.back(), slots = static_cast<Dim>(a.lengths.size()) + 1;
  return {fmt::format("{} rows of {}, {} heads, window {}", n, a.width, a.heads, a.window),
          {RandomTensor({n, a.heads}, 1), RandomTensor({n, a.width}, 2), RandomTensor({a.heads, a.window}, 3),
           RandomTensor({slots, a.window + 1, a.heads}, 4), RandomTensor({slots, a.window + 1, a.width}, 5)},
          [=](const auto& t) {
            const Tensor keys = Tensor::Zeros(t[3].shape()), values = Tensor::Zeros(t[4].shape());
            const Tensor y = ops::AftConv({t[0], t[1], t[2]}, sequences, {{t[3], keys}, {t[4], values}});
            return std::vector{y, keys, values};
          },
          [=](const auto& v) { return reference::AftConv(v, sequences, a.heads, a.width, a.window); },
          5e-6};
}

TEST(AftConv, IsItsFormula) {
  const ConvCase cases[] = {
      {{1}, 1, 3, 5}, {{9, 1, 20}, 2, 34, 4}, {{2, 21, 7}, 3, 12, 30}, {{33}, 4, 64, 1}};
  for (const ConvCase& a : cases) Check(CaseOf(a));
}

TEST(AftConv, IsExactForKeysOfAnySizeAndWithNothingSeen) {
  const Tensor k = Tensor::Zeros({3, 1}), v = Tensor::Zeros({3, 1}), w = Tensor::Zeros({1, 1});
  k.data()[0] = -1000, k.data()[1] = 1000, k.data()[2] = 999;
  v.data()[0] = 3, v.data()[1] = 1;
  w.data()[0] = 2;
  const Tensor keys = Tensor::Empty({1, 2, 1}), values = Tensor::Zeros({1, 2, 1});
  std::fill_n(keys.data(), 2, ops::kAftConvNothing);
  const Tensor y = ops::AftConv({k, v, w}, One(3), {{keys, keys}, {values, values}});
  EXPECT_EQ(y.data()[0], 3) << "the only one that the first row sees";
  EXPECT_EQ(y.data()[1], 1);
  EXPECT_NEAR(y.data()[2], 1 / (1 + std::exp(1.0)), 1e-6) << "e^1000 against e^(999 + 2)";
  EXPECT_EQ(keys.data()[1], 1000) << "the key of all that is older than the last";
}

TEST(AftConv, RefusesShapesThatDoNotFit) {
  const Tensor k = RandomTensor({2, 2}, 1), v = RandomTensor({2, 4}, 2), w = RandomTensor({2, 3}, 3);
  const auto call = [&](const Tensor& k, const Tensor& v, const Tensor& w, Dim rows) {
    const Tensor keys = Tensor::Zeros({1, rows, 2}), values = Tensor::Zeros({1, rows, 4});
    ops::AftConv({k, v, w}, One(2), {{keys, keys}, {values, values}});
  };
  EXPECT_NO_THROW(call(k, v, w, 4));
  EXPECT_THROW(call(k, v, w, 3), Error);
  EXPECT_THROW(call(k, RandomTensor({2, 5}, 2), w, 4), Error);
  EXPECT_THROW(call(RandomTensor({3, 2}, 1), v, w, 4), Error);
  EXPECT_THROW(call(k, v, RandomTensor({1, 3}, 3), 4), Error);
}

OpCase MassCase(const std::vector<int>& lengths, int heads, Dim width) {
  Sequences sequences;
  for (size_t s = 0; s < lengths.size(); ++s) {
    sequences.start.push_back(sequences.start.back() + lengths[s]);
    sequences.slot.push_back(static_cast<int>(lengths.size() - s));
  }
  const Dim n = sequences.start.back(), slots = static_cast<Dim>(lengths.size()) + 1;
  const auto positive = [](const Shape& shape, uint64_t seed) {
    const Tensor t = RandomTensor(shape, seed);
    for (Dim i = 0; i < t.size(); ++i) t.data()[i] = std::abs(t.data()[i]) + 0.1f;
    return t;
  };
  return {fmt::format("{} rows of {}, {} heads", n, width, heads),
          {RandomTensor({n, width}, 1), positive({n, width}, 2), positive({n, width}, 3),
           positive({slots, width}, 4)},
          [=](const auto& t) {
            const Tensor left = Tensor::Zeros(t[3].shape());
            const Tensor y = ops::DivideByMass(t[0], t[1], t[2], sequences, {t[3], left}, heads, 0.01f);
            return std::vector{y, left};
          },
          [=](const auto& v) { return reference::DivideByMass(v, sequences, heads, width, 0.01f); }};
}

TEST(DivideByMass, IsItsFormula) {
  Check(MassCase({1}, 1, 3));
  Check(MassCase({9, 1, 20}, 2, 34));
  Check(MassCase({33, 2}, 4, 64));
}

}  // namespace
}  // namespace linnet

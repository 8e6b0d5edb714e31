#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "formats/refusal.h"
#include "infer/sampler.h"

namespace linnet {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
const std::vector<float> kLogits = {1, -1, 0.5, 2};

std::vector<float> Adjusted(const SequenceSampler& sampler) {
  const auto adjusted = sampler.Adjust(kLogits);
  return {adjusted.begin(), adjusted.end()};
}

void ExpectAdjusted(const SequenceSampler& sampler, const std::vector<float>& expected) {
  const std::vector<float> actual = Adjusted(sampler);
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_FLOAT_EQ(actual[i], expected[i]) << i;
}

TEST(SequenceSampler, PresenceAndFrequencyCountWithDecay) {
  SequenceSampler sampler({.presence_penalty = 0.5, .frequency_penalty = 1, .penalty_decay = 0.5}, 1);
  ExpectAdjusted(sampler, kLogits);
  sampler.Accept(0);
  ExpectAdjusted(sampler, {1 - 1.5f, -1, 0.5, 2});
  sampler.Accept(3);  // the count of 0 is 0.5 now
  ExpectAdjusted(sampler, {1 - 1.f, -1, 0.5, 2 - 1.5f});
  sampler.Accept(0);  // 1.25 and 0.5
  ExpectAdjusted(sampler, {1 - 1.75f, -1, 0.5, 2 - 1.f});
}

TEST(SequenceSampler, BlanksAndDigitsPayForPresenceOnly) {
  const BytesTokenizer bytes;
  const std::vector<float> zeros(256);
  SequenceSampler sampler({.presence_penalty = 0.25, .frequency_penalty = 1, .penalty_decay = 1}, 1, &bytes);
  for (const char c : {'7', ' ', '\t', '\n', 'x'}) sampler.Accept(c);
  const auto adjusted = sampler.Adjust(zeros);
  for (const char c : {'7', ' ', '\t'}) EXPECT_FLOAT_EQ(adjusted[c], -0.25f) << int{c};
  for (const char c : {'\n', 'x'}) EXPECT_FLOAT_EQ(adjusted[c], -1.25f) << int{c};
}

TEST(SequenceSampler, WhatTheTokenizerDoesNotKnowIsNeverDrawn) {
  const BytesTokenizer bytes;
  std::vector<float> logits(300);
  std::fill(logits.begin() + 256, logits.end(), 100.f);
  for (const SamplerOptions& options : {SamplerOptions{}, SamplerOptions{.presence_penalty = 1}}) {
    SequenceSampler sampler(options, 1, &bytes);
    for (int i = 0; i < 50; ++i) EXPECT_LT(sampler.Draw(logits), 256);
    EXPECT_EQ(sampler.Adjust(logits).size(), 256u);
  }
}

TEST(SequenceSampler, RepetitionMakesWhatWasSaidLessLikelyWhateverItsSign) {
  SequenceSampler sampler({.repetition_penalty = 2}, 1);
  for (const int token : {1, 3, 3}) sampler.Accept(token);
  ExpectAdjusted(sampler, {1, -2, 0.5, 1});  // how often does not matter
}

TEST(SequenceSampler, BiasComesBeforePenaltiesAndMayBan) {
  SequenceSampler sampler({.repetition_penalty = 2, .bias = {{0, 3.f}, {3, -kInfinity}}}, 1);
  sampler.Accept(0);
  ExpectAdjusted(sampler, {2, -1, 0.5, -kInfinity});
  for (int i = 0; i < 200; ++i) EXPECT_NE(sampler.Draw(kLogits), 3);
}

TEST(SequenceSampler, DrawTakesNoteOfWhatItDraws) {
  SequenceSampler sampler({.top_k = 1, .presence_penalty = 10}, 1);
  EXPECT_EQ(sampler.Draw(kLogits), 3);
  EXPECT_EQ(sampler.Draw(kLogits), 0);
  EXPECT_EQ(sampler.Draw(kLogits), 2);
  EXPECT_EQ(sampler.Draw(kLogits), 1);
  EXPECT_EQ(sampler.Draw(kLogits), 3);
}

TEST(SequenceSampler, ACopyGoesOnWhereTheOriginalIs) {
  for (const SamplerOptions& options : {SamplerOptions{.presence_penalty = 0.3, .frequency_penalty = 0.1},
                                        SamplerOptions{.mirostat_tau = 1}}) {
    SequenceSampler a(options, 3);
    for (int i = 0; i < 20; ++i) a.Draw(kLogits);
    SequenceSampler b = a;
    for (int i = 0; i < 50; ++i) EXPECT_EQ(a.Draw(kLogits), b.Draw(kLogits));
  }
}

/// Logits of a Zipf distribution, whose tail has surprises of every size.
std::vector<float> Zipf(size_t tokens) {
  std::vector<float> logits(tokens);
  for (size_t i = 0; i < tokens; ++i) logits[i] = -std::log(static_cast<float>(i + 1));
  return logits;
}

TEST(Mirostat, KeepsTheSurpriseNearTau) {
  const std::vector<float> logits = Zipf(5000);
  for (const double tau : {2.0, 4.0, 6.0}) {
    SequenceSampler sampler({.mirostat_tau = tau, .mirostat_eta = 0.05}, 1);
    // The surprise that is held near tau is that among the tokens left, i.e. the entropy of a Zipf
    // distribution cut off somewhere. Here it is estimated by the full distribution's, which is above it.
    double bits = 0, norm = 0;
    for (const float x : logits) norm += std::exp(x);
    constexpr int kDraws = 4000;
    for (int i = 0; i < kDraws; ++i) {
      const int token = sampler.Draw(logits);
      if (i >= kDraws / 2) bits -= std::log2(std::exp(logits[token]) / norm) / (kDraws / 2.0);
    }
    EXPECT_GT(bits, tau);
    EXPECT_LT(bits, tau + 2.5);
  }
}

TEST(Mirostat, BeginsAtTwiceTauAndAlwaysKeepsTheLikeliest) {
  // p = 1/2, 1/4, 1/8, 1/8: surprises of 1, 2, 3, 3 bits.
  const std::vector<float> logits = {std::log(4.f), std::log(2.f), 0, 0};
  for (uint64_t seed = 0; seed < 200; ++seed) {
    EXPECT_LE(SequenceSampler({.mirostat_tau = 1.01}, seed).Draw(logits), 1);
    EXPECT_EQ(SequenceSampler({.mirostat_tau = 0.2}, seed).Draw(logits), 0);
  }
  int tail = 0;
  for (uint64_t seed = 0; seed < 200; ++seed)
    tail += SequenceSampler({.mirostat_tau = 1.51}, seed).Draw(logits) > 1;
  EXPECT_GT(tail, 20);
}

TEST(Mirostat, TheTemperatureComesFirst) {
  const std::vector<float> logits = {std::log(4.f), std::log(2.f), 0, 0};
  // At temperature 1/2 the probabilities are 16, 4, 1, 1 of 22: the second's surprise is 2.46 bits.
  for (uint64_t seed = 0; seed < 200; ++seed)
    EXPECT_EQ(SequenceSampler({.temperature = 0.5, .mirostat_tau = 1.2}, seed).Draw(logits), 0);
}

TEST(TokensOf, FindsWholeTokensOrThoseWithTheTextInThem) {
  const BytesTokenizer bytes;
  EXPECT_EQ(TokensOf(bytes, "a", false), std::vector<int>{'a'});
  EXPECT_EQ(TokensOf(bytes, "ab", true), std::vector<int>{});
  EXPECT_EQ(TokensOf(bytes, "\xFF", true), std::vector<int>{255});
}

TEST(SequenceSampler, RefusesWhatMakesNoSense) {
  const auto refuses = [](const SamplerOptions& options, const char* part) {
    return Refuses([&] { SequenceSampler(options, 1); }, part);
  };
  const double nan = std::nan("");
  EXPECT_TRUE(refuses({.presence_penalty = nan}, "presence penalty must be a number"));
  EXPECT_TRUE(refuses({.frequency_penalty = kInfinity}, "frequency penalty must be a number"));
  EXPECT_TRUE(refuses({.penalty_decay = 1.5}, "decay of penalties must lie between 0 and 1 but is 1.5"));
  EXPECT_TRUE(refuses({.repetition_penalty = 0}, "repetition penalty must be above 0"));
  EXPECT_TRUE(refuses({.mirostat_tau = -1}, "tau must be at least 0"));
  EXPECT_TRUE(refuses({.mirostat_eta = 2}, "eta must lie between 0 and 1"));
  EXPECT_TRUE(refuses({.temperature = 0, .mirostat_tau = 5}, "use one of them"));
  EXPECT_TRUE(refuses({.bias = {{2, kInfinity}}}, "that of token 2 is inf"));
  EXPECT_TRUE(refuses({.bias = {{-2, 1.f}}}, "that of token -2"));
  SequenceSampler biased({.bias = {{4, 1.f}}}, 1), said({.presence_penalty = 1}, 1);
  EXPECT_TRUE(Refuses([&] { biased.Draw(kLogits); }, "of token 4, but the vocabulary has 4 tokens"));
  said.Accept(9);
  EXPECT_TRUE(Refuses([&] { said.Draw(kLogits); }, "token 9 was said, but the vocabulary has 4 tokens"));
  SequenceSampler all({.bias = {{0, -kInfinity}, {1, -kInfinity}, {2, -kInfinity}, {3, -kInfinity}}}, 1);
  EXPECT_TRUE(Refuses([&] { all.Draw(kLogits); }, "every token is excluded"));
}

}  // namespace
}  // namespace linnet

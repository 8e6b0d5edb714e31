#include "infer/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "formats/refusal.h"

namespace linnet {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Logits whose softmax is p.
std::vector<float> LogitsOf(const std::vector<double>& p) {
  std::vector<float> logits;
  for (double x : p) logits.push_back(static_cast<float>(std::log(x)));
  return logits;
}

void ExpectProbabilities(const std::vector<double>& p, const SamplerOptions& options,
                         const std::vector<double>& expected) {
  const std::vector<float> actual = SamplingProbabilities(LogitsOf(p), options);
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(actual[i], expected[i], 1e-6) << i;
}

const std::vector<double> kP = {0.1, 0.4, 0.05, 0.25, 0.2};

TEST(Sampler, NoFilterIsTheSoftmax) { ExpectProbabilities(kP, {}, kP); }

TEST(Sampler, TopPKeepsTheTokenThatReachesIt) {
  ExpectProbabilities(kP, {.top_p = 0.5}, {0, 0.4 / 0.65, 0, 0.25 / 0.65, 0});
  ExpectProbabilities(kP, {.top_p = 0}, {0, 1, 0, 0, 0});
  ExpectProbabilities({0.3, 0.3, 0.4}, {.top_p = 0.5}, {0.3, 0.3, 0.4});  // equals of the last one stay
}

TEST(Sampler, TopPOfOneFiltersNothingOnLargeVocabularies) {
  std::vector<float> logits(65536);
  Random random(1);
  for (float& x : logits) x = static_cast<float>(3 * random.Normal());
  size_t kept = 0;
  for (float p : SamplingProbabilities(logits, {.top_p = 1})) kept += p > 0;
  EXPECT_EQ(kept, logits.size());
}

TEST(Sampler, TopKKeepsExactlyK) {
  ExpectProbabilities(kP, {.top_k = 2}, {0, 0.4 / 0.65, 0, 0.25 / 0.65, 0});
  ExpectProbabilities(kP, {.top_k = 100}, kP);
  ExpectProbabilities({0.25, 0.25, 0.25, 0.25}, {.top_k = 2}, {0.5, 0.5, 0, 0});
}

TEST(Sampler, MinPIsRelativeToTheLikeliest) {
  ExpectProbabilities(kP, {.min_p = 0.45}, {0, 0.4 / 0.85, 0, 0.25 / 0.85, 0.2 / 0.85});
  ExpectProbabilities(kP, {.min_p = 1}, {0, 1, 0, 0, 0});
}

TEST(Sampler, TypicalPMayDropTheLikeliest) {
  // Entropy 1.75 nats; surprises 0.92 and, six times, 2.30, which is nearer: the six come first, in order of
  // their ids.
  const std::vector<double> p = {0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1};
  const double sixth = 1.0 / 6;
  ExpectProbabilities(p, {.typical_p = 0.15}, {0, 0.5, 0.5, 0, 0, 0, 0});
  ExpectProbabilities(p, {.typical_p = 0.55}, {0, sixth, sixth, sixth, sixth, sixth, sixth});
  ExpectProbabilities(p, {.typical_p = 0.65}, p);
  ExpectProbabilities(p, {.top_k = 1, .typical_p = 0.01}, {1, 0, 0, 0, 0, 0, 0});  // on what the others left
}

TEST(Sampler, TemperatureComesAfterTheFilters) {
  const double a = 0.4 * 0.4, b = 0.25 * 0.25;
  ExpectProbabilities(kP, {.temperature = 0.5, .top_p = 0.5}, {0, a / (a + b), 0, b / (a + b), 0});
  ExpectProbabilities(kP, {.temperature = 1e-30},
                      {0, 1, 0, 0, 0});  // p^(1/temperature) alone would be 0 for all
  ExpectProbabilities(kP, {.temperature = 0}, {0, 1, 0, 0, 0});
  ExpectProbabilities({0.3, 0.35, 0.35}, {.temperature = 0}, {0, 0.5, 0.5});  // equals stay equal
  ExpectProbabilities({0.3, 0.35, 0.35}, {.temperature = 0, .top_k = 1}, {0, 1, 0});
}

TEST(Sampler, DrawsFollowTheProbabilities) {
  constexpr int kDraws = 200000;
  for (const SamplerOptions& options : {SamplerOptions{}, SamplerOptions{.temperature = 1.5, .top_p = 0.9},
                                        SamplerOptions{.top_k = 3, .min_p = 0.1}}) {
    const std::vector<float> logits = LogitsOf(kP), p = SamplingProbabilities(logits, options);
    std::vector<int> counts(p.size());
    SequenceSampler sampler(options, 42);
    for (int i = 0; i < kDraws; ++i) ++counts[sampler.Draw(logits)];
    for (size_t i = 0; i < p.size(); ++i) {
      const double deviation = std::sqrt(kDraws * p[i] * (1 - p[i]));
      EXPECT_NEAR(counts[i], kDraws * p[i], 4 * deviation + 0.01)
          << i;  // exactly 0 for what was filtered out
    }
  }
}

TEST(Sampler, TheSameSeedDrawsTheSame) {
  const std::vector<float> logits = LogitsOf(kP);
  SequenceSampler a({}, 5), b({}, 5), c({}, 6);
  int different = 0;
  for (int i = 0; i < 200; ++i) {
    const int drawn = a.Draw(logits);
    EXPECT_EQ(drawn, b.Draw(logits));
    different += drawn != c.Draw(logits);
  }
  EXPECT_GT(different, 20);
}

TEST(Sampler, OneTokenOrOneLeft) {
  const std::vector<float> one = {-3.f}, left = {-kInfinity, -kInfinity, -80.f, -kInfinity};
  for (const SamplerOptions& options :
       {SamplerOptions{}, SamplerOptions{.temperature = 0}, SamplerOptions{.top_p = 0.5},
        SamplerOptions{.temperature = 3, .top_p = 0, .top_k = 2, .min_p = 0.5, .typical_p = 0.5}}) {
    EXPECT_EQ(SequenceSampler(options, 1).Draw(one), 0);
    EXPECT_EQ(SequenceSampler(options, 1).Draw(left), 2);
  }
}

TEST(Sampler, ExtremeLogitsStayFinite) {
  const std::vector<float> logits = {3e38f, -3e38f, 0.f};
  for (float p : SamplingProbabilities(logits, {.temperature = 0.01})) EXPECT_TRUE(std::isfinite(p));
  EXPECT_EQ(SequenceSampler({.temperature = 100}, 1).Draw(logits), 0);
}

TEST(Sampler, RefusesLogitsThatDefineNoDistribution) {
  const std::vector<float> nan = {0, std::nanf(""), 1}, infinite = {0, 1, kInfinity}, none(3, -kInfinity);
  for (const double temperature : {0.0, 1.0}) {
    const SamplerOptions options{.temperature = temperature};
    EXPECT_TRUE(Refuses([&] { SequenceSampler(options, 1).Draw(nan); }, "the logit of token 1 is nan"));
    EXPECT_TRUE(Refuses([&] { SequenceSampler(options, 1).Draw(infinite); }, "the logit of token 2 is inf"));
    EXPECT_TRUE(Refuses([&] { SequenceSampler(options, 1).Draw(none); }, "every token is excluded"));
    EXPECT_TRUE(Refuses([&] { SequenceSampler(options, 1).Draw({}); }, "every token is excluded"));
  }
}

TEST(Sampler, RefusesOptionsThatMakeNoSense) {
  const std::vector<float> logits = {0, 1};
  const auto refuses = [&](const SamplerOptions& options, const char* part) {
    return Refuses([&] { SamplingProbabilities(logits, options); }, part);
  };
  EXPECT_TRUE(refuses({.temperature = -1}, "temperature must be at least 0 but is -1"));
  EXPECT_TRUE(refuses({.temperature = std::nan("")}, "temperature"));
  EXPECT_TRUE(refuses({.top_p = 1.5}, "top-p must lie between 0 and 1 but is 1.5"));
  EXPECT_TRUE(refuses({.top_k = -1}, "top-k"));
  EXPECT_TRUE(refuses({.min_p = -0.5}, "min-p"));
  EXPECT_TRUE(refuses({.typical_p = 0}, "typical-p"));
}

}  // namespace
}  // namespace linnet

#include "infer/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"

namespace linnet {
namespace {

/// The id of the largest logit, the lowest of equals. Throws Error on logits that define no distribution.
int Largest(std::span<const float> logits) {
  size_t best = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    Check(
        !(std::isnan(logits[i]) || logits[i] == std::numeric_limits<float>::infinity()),
        "[sampler] the logit of token {} is {}: the model's weights are damaged, or it diverged in training",
        i, logits[i]);
    if (logits[i] > logits[best]) best = i;
  }
  Check(!logits.empty() && logits[best] > -std::numeric_limits<float>::infinity(),
        "[sampler] every token is excluded, none is left to draw");
  return static_cast<int>(best);
}

std::vector<float> Softmax(std::span<const float> logits, float largest) {
  std::vector<float> p(logits.size());
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) sum += p[i] = std::exp(logits[i] - largest);
  const auto scale = static_cast<float>(1 / sum);
  for (float& x : p) x *= scale;
  return p;
}

/// The probability below which top_p drops a token. A heap gives the most likely ones in order without
/// sorting the rest.
float TopPCutoff(std::vector<float> p, double top_p) {
  std::make_heap(p.begin(), p.end());
  double sum = 0;
  for (auto end = p.end(); end != p.begin(); --end) {
    sum += p.front();
    if (sum >= top_p) return p.front();
    std::pop_heap(p.begin(), end);
  }
  return 0;  // rounding: all of them together stay below top_p
}

/// Zeroes, in `kept`, all but the k largest of p.
void KeepTopK(const std::vector<float>& p, size_t k, std::vector<float>& kept) {
  std::vector<int> ids(p.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto more_likely = [&](int a, int b) { return p[a] != p[b] ? p[a] > p[b] : a < b; };
  std::nth_element(ids.begin(), ids.begin() + static_cast<ptrdiff_t>(k), ids.end(), more_likely);
  for (size_t i = k; i < ids.size(); ++i) kept[ids[i]] = 0;
}

void KeepTypical(double typical_p, std::vector<float>& kept) {
  const double sum = std::accumulate(kept.begin(), kept.end(), 0.0);
  double entropy = 0;
  for (float p : kept) {
    if (p > 0) entropy -= p / sum * std::log(p / sum);
  }
  struct Candidate {
    double distance;
    int id;
  };
  std::vector<Candidate> candidates;
  for (size_t i = 0; i < kept.size(); ++i) {
    if (kept[i] > 0)
      candidates.push_back({std::abs(-std::log(kept[i] / sum) - entropy), static_cast<int>(i)});
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return a.distance != b.distance ? a.distance < b.distance : a.id < b.id;
  });
  double share = 0;
  for (const Candidate& candidate : candidates) {
    float& p = kept[candidate.id];
    if (share >= typical_p) {
      p = 0;
    } else {
      share += p / sum;
    }
  }
}

/// Weights, not normalised, of the tokens that may be drawn.
std::vector<float> Weights(std::span<const float> logits, const SamplerOptions& options) {
  options.Validate();
  const int best = Largest(logits);
  const std::vector<float> p = Softmax(logits, logits[best]);
  std::vector<float> kept = p;
  const bool greedy = options.temperature == 0;
  const double top_p = greedy ? 0 : options.top_p, temperature = greedy ? 1 : options.temperature;
  float cutoff = top_p < 1 ? TopPCutoff(p, top_p) : 0;
  cutoff = std::max(cutoff, static_cast<float>(options.min_p * p[best]));
  for (float& x : kept) x = x < cutoff ? 0 : x;
  if (options.top_k > 0 && options.top_k < static_cast<int>(p.size())) KeepTopK(p, options.top_k, kept);
  if (options.typical_p < 1) KeepTypical(options.typical_p, kept);
  if (temperature != 1) {
    const float largest = *std::max_element(kept.begin(), kept.end());
    const auto power = static_cast<float>(1 / temperature);
    for (float& x : kept) x = x > 0 ? std::pow(x / largest, power) : 0;
  }
  return kept;
}

}  // namespace

void SamplerOptions::Validate() const {
  Check(temperature >= 0 && std::isfinite(temperature), "the temperature must be at least 0 but is {}",
        temperature);
  Check(top_p >= 0 && top_p <= 1, "top-p must lie between 0 and 1 but is {}", top_p);
  Check(top_k >= 0, "top-k must be at least 0 (which is off) but is {}", top_k);
  Check(min_p >= 0 && min_p <= 1, "min-p must lie between 0 and 1 but is {}", min_p);
  Check(typical_p > 0 && typical_p <= 1, "typical-p must lie above 0 and at most at 1 but is {}", typical_p);
}

std::vector<float> SamplingProbabilities(std::span<const float> logits, const SamplerOptions& options) {
  std::vector<float> weights = Weights(logits, options);
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (float& x : weights) x = static_cast<float>(x / sum);
  return weights;
}

int Sample(std::span<const float> logits, const SamplerOptions& options, Random& random) {
  const std::vector<float> weights = Weights(logits, options);
  double left = random.Uniform() * std::accumulate(weights.begin(), weights.end(), 0.0);
  int drawn = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] == 0) continue;
    drawn = static_cast<int>(i);  // the last of them if rounding lets nothing be left over
    left -= weights[i];
    if (left < 0) break;
  }
  return drawn;
}

}  // namespace linnet

#include "infer/candidates.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numeric>

#include "base/check.h"
#include "infer/sampler.h"

namespace linnet {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr size_t kLanes = 32;  // independent sums: loops over them become vector instructions

/// The largest logit. Throws Error on logits that define no distribution.
float Largest(std::span<const float> logits) {
  std::array<float, kLanes> largest;
  largest.fill(-kInfinity);
  std::array<int, kLanes> wrong{};
  const size_t whole = logits.size() / kLanes * kLanes;
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const float x = logits[i + lane];
      largest[lane] = x > largest[lane] ? x : largest[lane];
      wrong[lane] |= x < kInfinity ? 0 : 1;
    }
  }
  for (size_t i = whole; i < logits.size(); ++i) {
    largest[0] = std::max(largest[0], logits[i]);
    wrong[0] |= logits[i] < kInfinity ? 0 : 1;
  }
  if (std::accumulate(wrong.begin(), wrong.end(), 0) > 0) {
    const auto at = std::find_if(logits.begin(), logits.end(), [](float x) { return !(x < kInfinity); });
    Fail("[sampler] the logit of token {} is {}: the model's weights are damaged, or it diverged in training",
         at - logits.begin(), *at);
  }
  const float best = *std::max_element(largest.begin(), largest.end());
  Check(best > -kInfinity, "[sampler] every token is excluded, none is left to draw");
  return best;
}

/// e^x for x <= 0, to 2e-7 of its value; 0 below e^-87.7. Without calls and branches, unlike std::exp, so
/// that loops become vector instructions: e^x = 2^n 2^f with |f| <= 1/2, the second factor by its Taylor
/// series.
inline float Exp(float x) {
  constexpr float kLowest = -88, kRound = 12582912;  // 1.5 * 2^23: adding it rounds to a whole number
  const float clamped = std::max(kLowest, x);
  const float n = (clamped * 1.44269504f + kRound) - kRound;
  // ln 2 in two parts, so that the remainder is exact to the last bit.
  const float r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
  float y = 1.98412698e-4f;
  y = y * r + 1.38888889e-3f;
  y = y * r + 8.33333333e-3f;
  y = y * r + 4.16666667e-2f;
  y = y * r + 1.66666667e-1f;
  y = y * r + 0.5f;
  y = y * r + 1;
  y = y * r + 1;
  // n = -127 gives the bits of 0.
  return y * std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
}

/// The value v (of positive ones) at which the weight of all values >= v first reaches `target`, or the
/// smallest if none does. Uses up `values`, which must not be empty.
template <class Weight>
float ValueWhere(std::vector<float>& values, double target, const Weight& weight) {
  struct Digit {
    int shift;
    uint32_t mask;
  };
  double above = 0;
  std::array<double, 2048> buckets;
  for (const Digit digit : {Digit{21, 2047}, Digit{10, 2047}, Digit{0, 1023}}) {
    const auto bucket = [&](float value) {
      return (std::bit_cast<uint32_t>(value) >> digit.shift) & digit.mask;
    };
    buckets.fill(0);
    for (const float value : values) buckets[bucket(value)] += weight(value);
    uint32_t chosen = 0;
    double above_chosen = above;
    for (uint32_t b = digit.mask + 1; b-- > 0;) {
      if (buckets[b] == 0) continue;
      chosen = b;
      above_chosen = above;
      if (above + buckets[b] >= target) break;
      above += buckets[b];
    }
    above = above_chosen;
    std::erase_if(values, [&](float value) { return bucket(value) != chosen; });
  }
  return values.front();
}

}  // namespace

void Candidates::Weigh(std::span<const float> logits, double temperature) {
  const float largest = Largest(logits);
  const auto scale = static_cast<float>(1 / std::max(temperature, 1e-30));
  const size_t blocks = (logits.size() + kBlock - 1) / kBlock;
  all_.resize(blocks * kBlock);
  block_largest_.resize(blocks);
  all_sum_ = 0;
  for (size_t b = 0; b < blocks; ++b) {
    const size_t begin = b * kBlock, length = std::min(kBlock, logits.size() - begin);
    float* weights = all_.data() + begin;
    for (size_t i = 0; i < length; ++i) weights[i] = Exp((logits[begin + i] - largest) * scale);
    std::fill(weights + length, weights + kBlock, 0.f);
    std::array<float, kLanes> sums{}, most{};
    for (size_t i = 0; i < kBlock; i += kLanes) {
      for (size_t lane = 0; lane < kLanes; ++lane) {
        sums[lane] += weights[i + lane];
        most[lane] = weights[i + lane] > most[lane] ? weights[i + lane] : most[lane];
      }
    }
    all_sum_ += std::accumulate(sums.begin(), sums.end(), 0.f);
    block_largest_[b] = *std::max_element(most.begin(), most.end());
  }
}

/// Calls visit(id, weight) for each token of at least this weight, above 0, in order of ids.
template <class Visit>
void Candidates::ForEachAtLeast(float cutoff, const Visit& visit) const {
  for (size_t b = 0; b < block_largest_.size(); ++b) {
    if (block_largest_[b] < cutoff) continue;
    for (size_t i = b * kBlock; i < (b + 1) * kBlock; ++i) {
      if (all_[i] >= cutoff && all_[i] > 0) visit(static_cast<int>(i), all_[i]);
    }
  }
}

float Candidates::TopPCutoff(double top_p) {
  // What is less likely than this makes up less than 1 - top_p, all together: the cut-off lies among the
  // rest.
  const double negligible = (1 - top_p) * all_sum_ / static_cast<double>(all_.size());
  selected_.clear();
  ForEachAtLeast(static_cast<float>(negligible), [&](int, float weight) { selected_.push_back(weight); });
  return ValueWhere(selected_, top_p * all_sum_, [](float weight) { return double{weight}; });
}

void Candidates::Gather(float cutoff) {
  ids_.clear();
  weights_.clear();
  ForEachAtLeast(cutoff, [&](int id, float weight) {
    ids_.push_back(id);
    weights_.push_back(weight);
  });
}

void Candidates::KeepTopK(size_t k) {
  if (k >= ids_.size()) return;
  selected_ = weights_;
  const float last = ValueWhere(selected_, static_cast<double>(k), [](float) { return 1.0; });
  size_t equals = k - std::count_if(weights_.begin(), weights_.end(), [&](float w) { return w > last; });
  size_t kept = 0;
  for (size_t i = 0; i < ids_.size(); ++i) {
    if (weights_[i] < last || (weights_[i] == last && equals == 0)) continue;
    equals -= weights_[i] == last;
    ids_[kept] = ids_[i];
    weights_[kept++] = weights_[i];
  }
  ids_.resize(kept);
  weights_.resize(kept);
}

void Candidates::KeepTypical(double typical_p) {
  const double total = sum();
  double entropy = 0;
  for (const float w : weights_) entropy -= w / total * std::log(w / total);
  struct Typical {
    double distance;
    int id;
    float weight;
  };
  std::vector<Typical> typical;
  for (size_t i = 0; i < ids_.size(); ++i)
    typical.push_back({std::abs(-std::log(weights_[i] / total) - entropy), ids_[i], weights_[i]});
  std::sort(typical.begin(), typical.end(), [](const Typical& a, const Typical& b) {
    return a.distance != b.distance ? a.distance < b.distance : a.id < b.id;
  });
  double share = 0;
  size_t kept = 0;
  while (kept < typical.size() && share < typical_p) share += typical[kept++].weight / total;
  typical.resize(kept);
  std::sort(typical.begin(), typical.end(), [](const Typical& a, const Typical& b) { return a.id < b.id; });
  ids_.clear();
  weights_.clear();
  for (const Typical& candidate : typical) {
    ids_.push_back(candidate.id);
    weights_.push_back(candidate.weight);
  }
}

/// Changes the weight of the tokens at the cut-off so that what is left weighs top_p of all.
void Candidates::FitBoundary(double top_p, float cutoff) {
  const auto boundary = std::count(weights_.begin(), weights_.end(), cutoff);
  if (boundary == 0 || top_p <= 0) return;
  const double change = (top_p * all_sum_ - sum()) / static_cast<double>(boundary);
  const auto fitted = static_cast<float>(std::max(0.0, cutoff + change));
  std::replace(weights_.begin(), weights_.end(), cutoff, fitted);
}

void Candidates::ApplyTemperature(double temperature) {
  // Relative to the largest: the power of a small number is no number any more.
  const float largest = *std::max_element(weights_.begin(), weights_.end());
  const auto power = static_cast<float>(1 / std::max(temperature, 1e-30));
  for (float& w : weights_) w = Exp(std::log(w / largest) * power);
}

void Candidates::Filter(std::span<const float> logits, const SamplerOptions& options) {
  const bool greedy = options.temperature == 0;
  const double top_p = greedy ? 0 : options.top_p, temperature = greedy ? 1 : options.temperature;
  if (top_p == 1 && options.top_k == 0 && options.min_p == 0 && options.typical_p == 1) {
    Weigh(logits, temperature);
    return Gather(0);
  }
  Weigh(logits, 1);
  const float top_p_cutoff = top_p < 1 ? TopPCutoff(top_p) : 0;
  Gather(std::max(top_p_cutoff, static_cast<float>(options.min_p)));  // the likeliest weighs 1
  if (options.top_k > 0) KeepTopK(options.top_k);
  if (options.exact_top_p && top_p < 1) FitBoundary(top_p, top_p_cutoff);
  if (options.typical_p < 1) KeepTypical(options.typical_p);
  if (temperature != 1) ApplyTemperature(temperature);
}

void Candidates::KeepUnsurprising(std::span<const float> logits, double temperature, double bits) {
  Weigh(logits, temperature);
  Gather(static_cast<float>(std::min(1.0, all_sum_ * std::exp2(-bits))));
}

double Candidates::sum() const { return std::accumulate(weights_.begin(), weights_.end(), 0.0); }

size_t Candidates::Draw(Random& random) const {
  double left = random.Uniform() * sum();
  size_t drawn = 0;
  for (size_t i = 0; i < weights_.size(); ++i) {
    if (weights_[i] == 0) continue;
    drawn = i;  // the last of them if rounding lets nothing be left over
    left -= weights_[i];
    if (left < 0) break;
  }
  return drawn;
}

}  // namespace linnet

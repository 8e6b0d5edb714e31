#include "infer/sampler.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "base/check.h"
#include "infer/candidates.h"

namespace linnet {
namespace {

/// Memory for one draw, which all samplers of a thread share: several times the vocabulary is too much to
/// keep for each text of a server.
Candidates& Scratch() {
  static thread_local Candidates candidates;
  return candidates;
}

}  // namespace

void SamplerOptions::Validate() const {
  Check(temperature >= 0 && std::isfinite(temperature), "the temperature must be at least 0 but is {}",
        temperature);
  Check(top_p >= 0 && top_p <= 1, "top-p must lie between 0 and 1 but is {}", top_p);
  Check(top_k >= 0, "top-k must be at least 0 (which is off) but is {}", top_k);
  Check(min_p >= 0 && min_p <= 1, "min-p must lie between 0 and 1 but is {}", min_p);
  Check(typical_p > 0 && typical_p <= 1, "typical-p must lie above 0 and at most at 1 but is {}", typical_p);
  Check(std::isfinite(presence_penalty), "the presence penalty must be a number but is {}", presence_penalty);
  Check(std::isfinite(frequency_penalty), "the frequency penalty must be a number but is {}",
        frequency_penalty);
  Check(penalty_decay >= 0 && penalty_decay <= 1, "the decay of penalties must lie between 0 and 1 but is {}",
        penalty_decay);
  Check(repetition_penalty > 0 && std::isfinite(repetition_penalty),
        "the repetition penalty must be above 0 (1 is off) but is {}", repetition_penalty);
  Check(mirostat_tau >= 0 && std::isfinite(mirostat_tau),
        "mirostat's tau must be at least 0 (which is off) but is {}", mirostat_tau);
  Check(mirostat_eta >= 0 && mirostat_eta <= 1, "mirostat's eta must lie between 0 and 1 but is {}",
        mirostat_eta);
  Check(mirostat_tau == 0 || temperature > 0,
        "mirostat chooses among several tokens, which temperature 0 does not; use one of them");
  for (const auto& [token, value] : bias) {
    Check(token >= 0 && value < std::numeric_limits<float>::infinity(),
          "the bias of a token must be a number, or -infinity to ban it, but that of token {} is {}", token,
          value);
  }
}

std::vector<float> SamplingProbabilities(std::span<const float> logits, const SamplerOptions& options) {
  options.Validate();
  Candidates& left = Scratch();
  left.Filter(logits, options);
  std::vector<float> probabilities(logits.size());
  const double sum = left.sum();
  for (size_t i = 0; i < left.ids().size(); ++i)
    probabilities[left.ids()[i]] = static_cast<float>(left.weights()[i] / sum);
  return probabilities;
}

std::vector<int> TokensOf(const Tokenizer& tokenizer, std::string_view text, bool anywhere) {
  std::vector<int> tokens;
  for (int id = 0; id < tokenizer.vocab(); ++id) {
    const std::string bytes = tokenizer.Decode({&id, 1});
    if (anywhere ? bytes.find(text) != std::string::npos : bytes == text) tokens.push_back(id);
  }
  return tokens;
}

SequenceSampler::SequenceSampler(SamplerOptions options, uint64_t seed, const Tokenizer* tokenizer)
    : options_(std::move(options)),
      tokenizer_(tokenizer),
      random_(seed),
      mirostat_mu_(2 * options_.mirostat_tau) {
  options_.Validate();
}

bool SequenceSampler::Penalizes() const {
  return options_.presence_penalty != 0 || options_.frequency_penalty != 0 ||
         options_.repetition_penalty != 1;
}

std::span<const float> SequenceSampler::Adjust(std::span<const float> logits,
                                               const Constraint* constraint) const {
  if (tokenizer_ != nullptr) logits = logits.first(std::min<size_t>(logits.size(), tokenizer_->vocab()));
  if (options_.bias.empty() && !Penalizes() && constraint == nullptr) return logits;
  static thread_local std::vector<float> adjusted;
  adjusted.assign(logits.begin(), logits.end());
  for (const auto& [token, bias] : options_.bias) {
    Check(static_cast<size_t>(token) < adjusted.size(),
          "a bias or ban is of token {}, but the vocabulary has {} tokens", token, adjusted.size());
    adjusted[token] += bias;
  }
  const auto repetition = static_cast<float>(options_.repetition_penalty);
  for (const auto& [token, count] : counts_) {
    Check(static_cast<size_t>(token) < adjusted.size(),
          "[sampler] token {} was said, but the vocabulary has {} tokens", token, adjusted.size());
    float& x = adjusted[token];
    if (repetition != 1) x = x > 0 ? x / repetition : x * repetition;
    x -= static_cast<float>(options_.presence_penalty + count * options_.frequency_penalty);
  }
  if (constraint != nullptr) constraint->Mask(adjusted);
  return adjusted;
}

int SequenceSampler::Draw(std::span<const float> logits, Constraint* constraint) {
  const std::span<const float> adjusted = Adjust(logits, constraint);
  Candidates& left = Scratch();
  const bool mirostat = options_.mirostat_tau > 0;
  if (mirostat) {
    left.KeepUnsurprising(adjusted, options_.temperature, mirostat_mu_);
  } else {
    left.Filter(adjusted, options_);
  }
  const size_t drawn = left.Draw(random_);
  if (mirostat) {
    const double surprise = -std::log2(left.weights()[drawn] / left.sum());
    mirostat_mu_ -= options_.mirostat_eta * (surprise - options_.mirostat_tau);
  }
  const int token = left.ids()[drawn];
  Accept(token);
  if (constraint != nullptr) constraint->Accept(token);
  return token;
}

/// Whether a token's text is one of those that may be repeated at will: a part of this list, in its order, so
/// "12" but not "10". A curiosity of the `rwkv` package.
bool SequenceSampler::Counts(int token) const {
  constexpr std::string_view kUncounted = " \t0123456789";
  return tokenizer_ == nullptr || kUncounted.find(tokenizer_->Decode({&token, 1})) == std::string_view::npos;
}

void SequenceSampler::Accept(int token) {
  if (!Penalizes()) return;
  for (auto& [seen, count] : counts_) count *= options_.penalty_decay;
  counts_[token] += options_.frequency_penalty != 0 && Counts(token) ? 1 : 0;
}

}  // namespace linnet

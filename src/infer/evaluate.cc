#include "infer/evaluate.h"

#include <algorithm>

namespace linnet {

Windows::Windows(const Tokenizer& tokenizer, std::span<const std::string_view> texts,
                 const WindowOptions& options)
    : tokenizer_(tokenizer), texts_(texts), options_(options) {
  Check(options.window >= 0, "a window must have at least one token (0: no windows) but has {}",
        options.window);
  for (const std::string_view text : texts) bytes_ += static_cast<int64_t>(text.size());
}

bool Windows::Next(Passage& passage) {
  while (at_ >= tokens_.size()) {
    if (text_ == texts_.size()) return false;
    const std::string_view text = texts_[text_++];
    tokens_ = tokenizer_.Encode(text);
    bytes_begun_ += static_cast<int64_t>(text.size());
    tokens_begun_ += static_cast<int64_t>(tokens_.size());
    at_ = 0;
    if (!options_.start_token && !tokens_.empty()) {
      skipped_ += static_cast<int64_t>(tokenizer_.Decode({tokens_.data(), 1}).size());
      at_ = 1;
    }
  }
  const size_t left = tokens_.size() - at_;
  const size_t count = options_.window > 0 ? std::min(left, static_cast<size_t>(options_.window)) : left;
  std::vector<int> tokens = {options_.start_token ? Tokenizer::kEndOfText : tokens_[at_ - 1]};
  const auto first = tokens_.begin() + static_cast<ptrdiff_t>(at_);
  tokens.insert(tokens.end(), first, first + static_cast<ptrdiff_t>(count));
  passage = Predicting(std::move(tokens));
  at_ += count;
  return true;
}

int64_t Windows::tokens() const {
  if (bytes_begun_ == 0) return bytes_;
  const double per_byte = static_cast<double>(tokens_begun_) / static_cast<double>(bytes_begun_);
  return std::llround(per_byte * static_cast<double>(bytes_));
}

TextLoss LossOfTexts(const LoadedModel& model, const Tokenizer& tokenizer,
                     std::span<const std::string_view> texts, const WindowOptions& options,
                     const OnProgress& on_progress) {
  Windows windows(tokenizer, texts, options);
  PassageReader reader(model);
  TextLoss result;
  const auto next = [&](Passage& passage) { return windows.Next(passage); };
  ScorePassages(*model.model, reader, next, [&](int64_t, const Passage&, size_t, const TokenScore& score) {
    result.sum += score.loss;
    ++result.tokens;
    if (on_progress && result.tokens % 256 == 0) on_progress(result.tokens, windows.tokens());
  });
  Check(result.tokens > 0, "there is no text to predict: {} bytes in {} texts", windows.bytes(),
        texts.size());
  result.bytes = windows.bytes() - windows.bytes_skipped();
  return result;
}

namespace {

/// Positions 1 to `window`, none counted yet. A step ends at 1, 2, 3, 4, 6, 8, 12, 16, ... .
std::vector<PositionLoss> PositionSteps(int64_t window) {
  std::vector<PositionLoss> steps;
  int64_t last = 0;
  for (int64_t octave = 1; last < window; octave *= 2) {
    for (int64_t end : {octave, octave + octave / 2}) {
      if (end > last && last < window) steps.push_back({last + 1, std::min(end, window)});
      last = std::max(last, end);
    }
  }
  return steps;
}

}  // namespace

std::vector<PositionLoss> LossByPosition(const LoadedModel& model, const Tokenizer& tokenizer,
                                         std::span<const std::string_view> texts, int64_t window,
                                         const OnProgress& on_progress) {
  Check(window >= 1, "a window must have at least one token but has {}", window);
  Windows windows(tokenizer, texts, {.window = window});
  PassageReader reader(model);
  std::vector<PositionLoss> steps = PositionSteps(window);
  const auto next = [&](Passage& passage) {
    while (windows.Next(passage)) {
      if (static_cast<int64_t>(passage.end) == window) return true;
    }
    return false;
  };
  int64_t done = 0;
  ScorePassages(*model.model, reader, next,
                [&](int64_t, const Passage&, size_t position, const TokenScore& score) {
                  const auto at = static_cast<int64_t>(position);
                  const auto step = std::ranges::lower_bound(steps, at, {}, &PositionLoss::last);
                  step->sum += score.loss;
                  ++step->tokens;
                  if (on_progress && ++done % 256 == 0) on_progress(done, windows.tokens());
                });
  Check(steps.front().tokens > 0, "no text has a window of {} tokens; give longer ones or a smaller --window",
        window);
  return steps;
}

CompletionLoss LossOfCompletions(const LoadedModel& model, std::span<const Completion> examples,
                                 const OnProgress& on_progress) {
  PassageReader reader(model);
  size_t given = 0;
  const auto next = [&](Passage& passage) {
    if (given == examples.size()) return false;
    const Completion& example = examples[given++];
    std::vector<int> tokens = {Tokenizer::kEndOfText};
    tokens.insert(tokens.end(), example.context.begin(), example.context.end());
    const size_t first = tokens.size();
    tokens.insert(tokens.end(), example.target.begin(), example.target.end());
    passage = Predicting(std::move(tokens), first);
    return true;
  };
  CompletionLoss result;
  bool right = true;
  ScorePassages(*model.model, reader, next,
                [&](int64_t, const Passage& passage, size_t position, const TokenScore& score) {
                  result.sum += score.loss;
                  ++result.tokens;
                  right = right && score.likeliest;
                  if (position + 1 < passage.tokens.size()) return;
                  ++result.examples;
                  result.right += right;
                  right = true;
                  if (on_progress) on_progress(result.examples, static_cast<int64_t>(examples.size()));
                });
  Check(result.examples > 0, "there are no examples to complete");
  return result;
}

double StandardError(double share, int64_t count) {
  return std::sqrt(share * (1 - share) / static_cast<double>(std::max<int64_t>(count, 1)));
}

}  // namespace linnet

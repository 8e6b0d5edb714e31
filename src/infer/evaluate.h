// Numbers that say how well a model predicts text.
//
// The loss of a token is -log p(token | all before it), in nats. Over a text:
//     perplexity = exp(sum of losses / tokens)       bits per byte = sum of losses / (ln 2 * bytes)
// The first compares models of one tokenizer only, the second any. Sums are in double.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <numbers>
#include <string_view>
#include <vector>

#include "infer/passages.h"
#include "text/tokenizer.h"

namespace linnet {

struct WindowOptions {
  /// Tokens after which the state begins anew; 0: it is carried through the whole text.
  int64_t window = 0;
  /// Every window begins after the end-of-text token, as texts do in training, and all its tokens are
  /// predicted. Without it a window begins with the last token of the one before, and the first token of a
  /// text is predicted by nothing and does not count: the samples of `linnet train`.
  bool start_token = true;
};

/// Cuts texts into the windows whose tokens are to be predicted, one text in tokens at a time.
class Windows {
 public:
  /// Tokenizer and texts must outlive it.
  Windows(const Tokenizer& tokenizer, std::span<const std::string_view> texts, const WindowOptions& options);

  /// The next window; false if there is none.
  bool Next(Passage& passage);
  /// Bytes of all texts.
  int64_t bytes() const { return bytes_; }
  /// Tokens of all texts: an estimate until the last is begun.
  int64_t tokens() const;
  /// Bytes of the tokens that nothing predicts.
  int64_t bytes_skipped() const { return skipped_; }

 private:
  const Tokenizer& tokenizer_;
  std::span<const std::string_view> texts_;
  WindowOptions options_;
  size_t text_ = 0;          // the next text
  std::vector<int> tokens_;  // of the one before it
  size_t at_ = 0;            // the first of them that no window holds
  int64_t bytes_ = 0, skipped_ = 0;
  int64_t bytes_begun_ = 0, tokens_begun_ = 0;  // of the texts so far
};

struct TextLoss {
  double sum = 0;  // of the tokens' losses
  int64_t tokens = 0, bytes = 0;

  double loss() const { return sum / static_cast<double>(tokens); }
  double perplexity() const { return std::exp(loss()); }
  double bits_per_byte() const { return sum / (std::numbers::ln2 * static_cast<double>(bytes)); }
};

/// Told after each forward pass, or example, how much is done.
using OnProgress = std::function<void(int64_t done, int64_t total)>;

/// The loss of a model on texts, each read from the initial state. Progress is in tokens. Throws Error if
/// there is nothing to predict.
TextLoss LossOfTexts(const LoadedModel& model, const Tokenizer& tokenizer,
                     std::span<const std::string_view> texts, const WindowOptions& options,
                     const OnProgress& on_progress = {});

/// The losses of the tokens at positions [first, last] of their windows, counted from 1.
struct PositionLoss {
  int64_t first, last;
  double sum = 0;
  int64_t tokens = 0;

  double loss() const { return sum / static_cast<double>(tokens); }
};

/// How the loss falls with what stands before a token, in two steps an octave: positions 1, 2, 3, 4 to 5, 6
/// to 7, 8 to 11, ... of windows of `window` tokens. Only whole windows count, so that all positions are of
/// the same text. Throws Error if there is none.
std::vector<PositionLoss> LossByPosition(const LoadedModel& model, const Tokenizer& tokenizer,
                                         std::span<const std::string_view> texts, int64_t window,
                                         const OnProgress& on_progress = {});

/// A text and how it goes on.
struct Completion {
  std::vector<int> context, target;
};

struct CompletionLoss {
  double sum = 0;  // of the targets' losses
  int64_t examples = 0, tokens = 0;
  int64_t right = 0;  // examples of whose target every token was the likeliest

  double loss() const { return sum / static_cast<double>(examples); }
  /// Per example, not per token, as the LAMBADA task counts it.
  double perplexity() const { return std::exp(loss()); }
  double accuracy() const { return static_cast<double>(right) / static_cast<double>(examples); }
};

/// How well a model completes examples, each begun after the end-of-text token. Progress is in examples.
CompletionLoss LossOfCompletions(const LoadedModel& model, std::span<const Completion> examples,
                                 const OnProgress& on_progress = {});

/// The standard error of a share of `count` examples: sqrt(share (1 - share) / count).
double StandardError(double share, int64_t count);

}  // namespace linnet

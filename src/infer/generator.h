// Generate: continues a prompt with a model that runs as an RNN. The prompt is read in chunks, each as one
// parallel forward pass; then every token is one pass of one row that updates the state in place. Time per
// token and memory depend neither on the length of the prompt nor on that of the output. What it has read can
// be kept (nn/state_file.h) and continued another day.
#pragma once

#include <atomic>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "infer/text_writer.h"
#include "nn/model.h"

namespace linnet {

/// Rows of a prompt that one forward pass takes: enough to keep the matrix products busy.
inline constexpr int kPrefillRows = 512;

/// Feeds `tokens`, in chunks of kPrefillRows, to the sequence in `slot` and returns the logits [1, V] after
/// the last of them. Calls `on_chunk`, if there is one, with the number of tokens read so far after each
/// chunk; if it returns false the rest is left unread and the result is an empty Tensor.
Tensor Prefill(const Model& model, const State& state, std::span<const int> tokens, int slot = 0,
               const std::function<bool(int64_t done)>& on_chunk = {});

struct GenerateOptions : WritingOptions {
  /// Receives the output piece by piece, as bytes: a piece may end inside a character.
  std::function<void(std::string_view piece)> on_text;
  /// Told how far things are: tokens of the prompt read, tokens generated.
  std::function<void(int64_t prompt_tokens, int64_t tokens)> on_progress;
  /// Ends the generation soon after it becomes true; may be set by a signal handler.
  const std::atomic<bool>* interrupted = nullptr;
  /// What the output must look like, from its beginning: each text gets a clone.
  const Constraint* constraint = nullptr;
  /// Continues from here, not from the start of a text.
  const Snapshot* resume = nullptr;
  /// Receives where the text ends: all of the prompt and of the output has been seen, but neither a stop
  /// string nor an end-of-text token that ended it. Left alone if the generation was interrupted while it
  /// read the prompt.
  Snapshot* snapshot = nullptr;
};

struct Generation {
  using End = TextEnd;
  static constexpr int kEnds = 4;
  End end = End::kLength;
  int64_t prompt_tokens = 0;
  int64_t tokens = 0;  // generated
  double prompt_seconds = 0, seconds = 0;

  double prompt_tokens_per_second() const { return prompt_seconds > 0 ? prompt_tokens / prompt_seconds : 0; }
  double tokens_per_second() const { return seconds > 0 ? tokens / seconds : 0; }
};

/// "length", "stop", "end of text", "interrupted"
const char* EndName(Generation::End end);

/// Generates after `prompt`. An empty prompt stands for the end-of-text token alone, after which texts start;
/// with `resume` the text just goes on. Throws Error if an option makes no sense, a token of the prompt is
/// not in the vocabulary, or there is no prompt and `resume` does not know what followed.
Generation Generate(const LoadedModel& model, const Tokenizer& tokenizer, std::vector<int> prompt,
                    const GenerateOptions& options);

}  // namespace linnet

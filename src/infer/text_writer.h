// TextWriter: what becomes of one text after each row of logits: a token is drawn, its text goes through the
// filter of stop strings, and something ends it. Who feeds the tokens back to the model, alone or among
// others, is another's business.
//
// WayBack: takes a text back to before the stop string that ended it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "infer/constraint.h"
#include "infer/sampler.h"
#include "infer/stop_filter.h"
#include "nn/state_file.h"
#include "text/tokenizer.h"

namespace linnet {

struct WritingOptions {
  int64_t max_tokens = 256;
  SamplerOptions sampler;
  uint64_t seed = 0;
  /// Text at which the output ends; it is not part of the output.
  std::vector<std::string> stops;
  /// Goes on after the end-of-text token, which then is output like any other.
  bool past_end = false;
  /// Tokens that the sampler takes note of before it draws, as if it had drawn them: the beginning of what is
  /// continued.
  std::vector<int> said;

  /// Throws Error, naming the option, if a value makes no sense.
  void Validate() const;
};

/// Why a text ended.
enum class TextEnd { kLength, kStopString, kEndOfText, kInterrupted };

class TextWriter {
 public:
  /// The tokenizer must outlive the writer. A text with a constraint also ends where that allows nothing
  /// more, and at the end-of-text token, `past_end` or not. Throws Error as WritingOptions::Validate.
  TextWriter(WritingOptions options, const Tokenizer& tokenizer, std::unique_ptr<Constraint> constraint = {});

  struct Token {
    int id;
    std::string bytes;  // its text
    std::string shown;  // what is certainly no part of a stop string, of this token and those before
  };
  /// Draws the next token; may end the text. None if the text ends without it: at the limit, or with the
  /// end-of-text token. Errors as SequenceSampler::Draw.
  std::optional<Token> Next(std::span<const float> logits);
  /// Text that was held back, once the text has ended.
  std::string Finish();

  const std::optional<TextEnd>& end() const { return end_; }
  const std::vector<int>& ids() const { return ids_; }
  const StopFilter& filter() const { return filter_; }

 private:
  void EndIfDue();

  WritingOptions options_;
  const Tokenizer& tokenizer_;
  std::unique_ptr<Constraint> constraint_;
  SequenceSampler sampler_;
  StopFilter filter_;
  std::vector<int> ids_;
  std::optional<TextEnd> end_;
};

/// The tokens that hold a stop string may begin before it, and what they are is known only at its end, so the
/// text is kept as it was before the first token that may belong to one.
class WayBack {
 public:
  /// To be called after a token was drawn, before it is read; `save` gives where the text stands.
  void Note(const TextWriter& writer, const TextWriter::Token& token, const std::function<Snapshot()>& save);
  /// Where to go on from once a stop string has ended the text, whose last token has not been read, and what
  /// has to be read there.
  struct Place {
    std::optional<Snapshot> from;  // none: from where the text stands
    std::string text;
  };
  Place Take(const TextWriter::Token& last);

 private:
  std::optional<Snapshot> before_;
  std::string shown_;  // of the text since then
};

}  // namespace linnet

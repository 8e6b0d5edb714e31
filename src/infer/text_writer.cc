#include "infer/text_writer.h"

#include <utility>

#include "base/check.h"

namespace linnet {

void WritingOptions::Validate() const {
  sampler.Validate();
  Check(max_tokens >= 0, "the number of tokens to generate must be at least 0 but is {}", max_tokens);
  for (const std::string& stop : stops) Check(!stop.empty(), "a stop string must not be empty");
}

TextWriter::TextWriter(WritingOptions options, const Tokenizer& tokenizer,
                       std::unique_ptr<Constraint> constraint)
    : options_((options.Validate(), std::move(options))),
      tokenizer_(tokenizer),
      constraint_(std::move(constraint)),
      sampler_(options_.sampler, options_.seed, &tokenizer),
      filter_(options_.stops) {
  for (const int token : options_.said) sampler_.Accept(token);
}

std::optional<TextWriter::Token> TextWriter::Next(std::span<const float> logits) {
  if (options_.max_tokens == 0) {
    end_ = TextEnd::kLength;
    return std::nullopt;
  }
  const int id = sampler_.Draw(logits, constraint_.get());
  const bool at_end = id == Tokenizer::kEndOfText && tokenizer_.has_end_of_text();
  if (at_end && (!options_.past_end || constraint_)) {
    end_ = TextEnd::kEndOfText;
    return std::nullopt;
  }
  ids_.push_back(id);
  std::string bytes = tokenizer_.Decode({&id, 1}), shown = filter_.Push(bytes);
  EndIfDue();
  return Token{id, std::move(bytes), std::move(shown)};
}

void TextWriter::EndIfDue() {
  if (filter_.stopped()) {
    end_ = TextEnd::kStopString;
  } else if (constraint_ && constraint_->ended()) {
    end_ = TextEnd::kEndOfText;
  } else if (static_cast<int64_t>(ids_.size()) == options_.max_tokens) {
    end_ = TextEnd::kLength;
  }
}

std::string TextWriter::Finish() { return filter_.stopped() ? "" : filter_.Finish(); }

void WayBack::Note(const TextWriter& writer, const TextWriter::Token& token,
                   const std::function<Snapshot()>& save) {
  const size_t held = writer.filter().held();
  if (held == 0) {
    before_.reset();
  } else if (held <= token.bytes.size()) {
    before_ = save();
    shown_ = token.bytes.substr(0, token.bytes.size() - held);
  } else {
    shown_ += token.shown;
  }
}

WayBack::Place WayBack::Take(const TextWriter::Token& last) {
  std::string text = (before_ ? shown_ : "") + last.shown;
  return {std::exchange(before_, std::nullopt), std::move(text)};
}

}  // namespace linnet

#include "infer/generator.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "infer/stop_filter.h"

namespace linnet {
namespace {

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

bool Interrupted(const GenerateOptions& options) {
  return options.interrupted != nullptr && options.interrupted->load(std::memory_order_relaxed);
}

void Report(const GenerateOptions& options, int64_t prompt_tokens, int64_t tokens) {
  if (options.on_progress) options.on_progress(prompt_tokens, tokens);
}

void Emit(const GenerateOptions& options, const std::string& text) {
  if (options.on_text && !text.empty()) options.on_text(text);
}

/// A text that is being read and written: the state, the logits after it, how long it is.
class Text {
 public:
  Text(const LoadedModel& model, const Snapshot* from) : model_(model), state_(model.NewState(1)) {
    if (from != nullptr) Restore(*from);
  }

  const Tensor& logits() const { return logits_; }
  int64_t tokens() const { return tokens_; }
  /// Reads tokens, at least one; as Prefill. False if it was stopped.
  bool Read(std::span<const int> tokens, const std::function<bool(int64_t done)>& on_chunk = {}) {
    logits_ = Prefill(*model_.model, state_, tokens, 0, on_chunk);
    tokens_ += static_cast<int64_t>(tokens.size());
    return static_cast<bool>(logits_);
  }
  Snapshot Save() const { return {state_.Save(0), logits_.Reshape({logits_.size()}).Clone(), tokens_}; }
  void Restore(const Snapshot& from) {
    state_.Restore(0, from.variables);
    logits_ = from.logits ? from.logits.Reshape({1, from.logits.size()}) : Tensor();
    tokens_ = from.tokens;
  }

 private:
  const LoadedModel& model_;
  State state_;
  Tensor logits_;
  int64_t tokens_ = 0;
};

/// Takes a text back to before a stop string. The tokens that hold one may begin before it, and what they are
/// is known only at its end, so the text is kept as it was before the first token that may belong to one.
class WayBack {
 public:
  /// To be called after a token's text went through the filter, before the token is read. `shown` is what the
  /// filter let through.
  void Note(const Text& text, const StopFilter& filter, std::string_view token, std::string_view shown) {
    if (filter.held() == 0) {
      before_.reset();
    } else if (filter.held() <= token.size()) {
      before_ = text.Save();
      shown_ = token.substr(0, token.size() - filter.held());
    } else {
      shown_ += shown;
    }
  }
  /// To be called when the filter has stopped, before the last token is read.
  void Take(Text& text, std::string_view shown, const Tokenizer& tokenizer) {
    if (before_) text.Restore(*before_);
    const std::string rest = (before_ ? shown_ : "") + std::string(shown);
    if (!rest.empty()) text.Read(tokenizer.Encode(rest));
  }

 private:
  std::optional<Snapshot> before_;
  std::string shown_;  // of the text since then
};

/// Draws tokens and feeds them back, until something ends it. The last one drawn is read only if a snapshot
/// is wanted.
Generation::End Continue(Text& text, const Tokenizer& tokenizer, const GenerateOptions& options,
                         Generation& progress) {
  SequenceSampler sampler(options.sampler, options.seed, &tokenizer);
  for (const int token : options.said) sampler.Accept(token);
  StopFilter filter(options.stops);
  WayBack way_back;
  const bool keeps = options.snapshot != nullptr;
  auto end = Generation::End::kLength;
  while (progress.tokens < options.max_tokens) {
    if (Interrupted(options)) {
      end = Generation::End::kInterrupted;
      break;
    }
    const Tensor& logits = text.logits();
    const int token = sampler.Draw({logits.data(), static_cast<size_t>(logits.size())});
    if (token == Tokenizer::kEndOfText && !options.past_end) {
      end = Generation::End::kEndOfText;
      break;
    }
    ++progress.tokens;
    const std::string bytes = tokenizer.Decode({&token, 1}), shown = filter.Push(bytes);
    Emit(options, shown);
    if (filter.stopped()) {
      if (keeps) way_back.Take(text, shown, tokenizer);
      return Generation::End::kStopString;
    }
    if (keeps) way_back.Note(text, filter, bytes, shown);
    Report(options, progress.prompt_tokens, progress.tokens);
    if (keeps || progress.tokens < options.max_tokens) text.Read({&token, 1});
  }
  Emit(options, filter.Finish());
  return end;
}

}  // namespace

const char* EndName(Generation::End end) {
  switch (end) {
    case Generation::End::kLength:
      return "length";
    case Generation::End::kStopString:
      return "stop";
    case Generation::End::kEndOfText:
      return "end of text";
    case Generation::End::kInterrupted:
      return "interrupted";
  }
  return "";
}

Tensor Prefill(const Model& model, const State& state, std::span<const int> tokens, int slot,
               const std::function<bool(int64_t done)>& on_chunk) {
  Check(!tokens.empty(), "[prefill] needs at least one token");
  for (size_t done = 0; done < tokens.size();) {
    const auto chunk = tokens.subspan(done, std::min<size_t>(kPrefillRows, tokens.size() - done));
    Batch batch;
    batch.Append({chunk.begin(), chunk.end()}, slot);
    batch.wanted = {static_cast<int>(chunk.size()) - 1};
    done += chunk.size();
    const bool last = done == tokens.size();
    // Only the last chunk's logits are needed; the head is a good part of a small model's work.
    const Tensor out = last ? model.Forward(batch, state) : model.Hidden(batch, state);
    if (on_chunk && !on_chunk(static_cast<int64_t>(done))) return {};
    if (last) return out;
  }
  return {};
}

Generation Generate(const LoadedModel& model, const Tokenizer& tokenizer, std::vector<int> prompt,
                    const GenerateOptions& options) {
  options.sampler.Validate();
  Check(options.max_tokens >= 0, "the number of tokens to generate must be at least 0 but is {}",
        options.max_tokens);
  Text text(model, options.resume);
  if (prompt.empty() && !text.logits()) {
    Check(text.tokens() == 0, "the state does not say what followed it (it is a mixture); give it a prompt");
    prompt.push_back(Tokenizer::kEndOfText);
  }
  Generation result;
  auto start = std::chrono::steady_clock::now();
  const auto on_chunk = [&](int64_t done) {
    result.prompt_tokens = done;
    Report(options, done, 0);
    return !Interrupted(options);
  };
  const bool read = prompt.empty() || text.Read(prompt, on_chunk);
  result.prompt_seconds = SecondsSince(start);
  if (!read) {
    result.end = Generation::End::kInterrupted;
    return result;
  }
  start = std::chrono::steady_clock::now();
  result.end = Continue(text, tokenizer, options, result);
  result.seconds = SecondsSince(start);
  if (options.snapshot != nullptr) *options.snapshot = text.Save();
  return result;
}

}  // namespace linnet

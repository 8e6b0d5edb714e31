#include "infer/generator.h"

#include <algorithm>
#include <chrono>

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

/// Goes back to before the stop string that ended a text, whose last token has not been read.
void TakeBack(Text& text, WayBack::Place place, const Tokenizer& tokenizer) {
  if (place.from) text.Restore(*place.from);
  if (!place.text.empty()) text.Read(tokenizer.Encode(place.text));
}

/// Draws tokens and feeds them back, until something ends it. The last one drawn is read only if a snapshot
/// is wanted.
Generation::End Continue(Text& text, const Tokenizer& tokenizer, const GenerateOptions& options,
                         Generation& progress) {
  TextWriter writer(options, tokenizer, options.constraint != nullptr ? options.constraint->Clone() : nullptr);
  WayBack way_back;
  const bool keeps = options.snapshot != nullptr;
  while (!writer.end() && !Interrupted(options)) {
    const Tensor& logits = text.logits();
    const auto token = writer.Next({logits.data(), static_cast<size_t>(logits.size())});
    if (!token) break;
    ++progress.tokens;
    Emit(options, token->shown);
    if (writer.end() == Generation::End::kStopString) {
      if (keeps) TakeBack(text, way_back.Take(*token), tokenizer);
      break;
    }
    if (keeps) way_back.Note(writer, *token, [&] { return text.Save(); });
    Report(options, progress.prompt_tokens, progress.tokens);
    if (keeps || !writer.end()) text.Read({&token->id, 1});
  }
  Emit(options, writer.Finish());
  return writer.end().value_or(Generation::End::kInterrupted);
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
  options.Validate();
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

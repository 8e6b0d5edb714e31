#include "infer/generator.h"

#include <algorithm>
#include <chrono>

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

/// Draws tokens and feeds them back, until something ends it. `logits` are those after the last token that
/// the state has seen; the very last one drawn is fed only if a snapshot is wanted.
Generation::End Continue(const LoadedModel& model, const Tokenizer& tokenizer, const State& state,
                         Tensor& logits, const GenerateOptions& options, Generation& progress) {
  SequenceSampler sampler(options.sampler, options.seed, &tokenizer);
  StopFilter filter(options.stops);
  Batch next;
  next.Append({Tokenizer::kEndOfText}, 0);
  const auto feed = [&](int token) {
    next.tokens[0] = token;
    logits = model.model->Forward(next, state);
  };
  auto end = Generation::End::kLength;
  while (progress.tokens < options.max_tokens) {
    if (Interrupted(options)) {
      end = Generation::End::kInterrupted;
      break;
    }
    const int token = sampler.Draw({logits.data(), static_cast<size_t>(logits.size())});
    if (token == Tokenizer::kEndOfText && !options.past_end) {
      end = Generation::End::kEndOfText;
      break;
    }
    ++progress.tokens;
    Emit(options, filter.Push(tokenizer.Decode({&token, 1})));
    const bool last = filter.stopped() || progress.tokens == options.max_tokens;
    if (!last || options.snapshot != nullptr) feed(token);
    if (filter.stopped()) return Generation::End::kStopString;
    Report(options, progress.prompt_tokens, progress.tokens);
  }
  Emit(options, filter.Finish());
  return end;
}

/// Puts the state at where the text stands and returns the logits there; empty if they are not known.
Tensor Resume(const Snapshot* from, State& state) {
  if (from == nullptr) return {};
  state.Restore(0, from->variables);
  return from->logits ? from->logits.Reshape({1, from->logits.size()}) : Tensor();
}

}  // namespace

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
  State state = model.NewState(1);
  Tensor logits = Resume(options.resume, state);
  const int64_t seen = options.resume != nullptr ? options.resume->tokens : 0;
  if (prompt.empty() && !logits) {
    Check(seen == 0, "the state does not say what followed it (it is a mixture); give it a prompt");
    prompt.push_back(Tokenizer::kEndOfText);
  }
  Generation result;
  auto start = std::chrono::steady_clock::now();
  if (!prompt.empty()) {
    logits = Prefill(*model.model, state, prompt, 0, [&](int64_t done) {
      result.prompt_tokens = done;
      Report(options, done, 0);
      return !Interrupted(options);
    });
  }
  result.prompt_seconds = SecondsSince(start);
  if (!logits) {
    result.end = Generation::End::kInterrupted;
    return result;
  }
  start = std::chrono::steady_clock::now();
  result.end = Continue(model, tokenizer, state, logits, options, result);
  result.seconds = SecondsSince(start);
  if (options.snapshot != nullptr) {
    *options.snapshot = {state.Save(0), logits.Reshape({logits.size()}).Clone(),
                         seen + result.prompt_tokens + result.tokens};
  }
  return result;
}

}  // namespace linnet

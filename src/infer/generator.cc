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

/// Draws tokens and feeds them back, until something ends it.
Generation::End Continue(const LoadedModel& model, const Tokenizer& tokenizer, const State& state,
                         Tensor logits, const GenerateOptions& options, Generation& progress) {
  Random random(options.seed);
  StopFilter filter(options.stops);
  Batch next;
  next.Append({Tokenizer::kEndOfText}, 0);
  auto end = Generation::End::kLength;
  while (progress.tokens < options.max_tokens) {
    if (Interrupted(options)) {
      end = Generation::End::kInterrupted;
      break;
    }
    const int token = Sample({logits.data(), static_cast<size_t>(logits.size())}, options.sampler, random);
    if (token == Tokenizer::kEndOfText && !options.past_end) {
      end = Generation::End::kEndOfText;
      break;
    }
    ++progress.tokens;
    Emit(options, filter.Push(tokenizer.Decode({&token, 1})));
    if (filter.stopped()) return Generation::End::kStopString;
    Report(options, progress.prompt_tokens, progress.tokens);
    if (progress.tokens == options.max_tokens) break;  // nobody needs the logits after the last token
    next.tokens[0] = token;
    logits = model.model->Forward(next, state);
  }
  Emit(options, filter.Finish());
  return end;
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
  if (prompt.empty()) prompt.push_back(Tokenizer::kEndOfText);
  Generation result;
  const State state = model.NewState(1);
  auto start = std::chrono::steady_clock::now();
  const Tensor logits = Prefill(*model.model, state, prompt, 0, [&](int64_t done) {
    result.prompt_tokens = done;
    Report(options, done, 0);
    return !Interrupted(options);
  });
  result.prompt_seconds = SecondsSince(start);
  start = std::chrono::steady_clock::now();
  result.end =
      logits ? Continue(model, tokenizer, state, logits, options, result) : Generation::End::kInterrupted;
  result.seconds = SecondsSince(start);
  return result;
}

}  // namespace linnet

#include "infer/scheduler.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace linnet {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

bool Interrupted(const GenerateOptions& options) {
  return options.interrupted != nullptr && options.interrupted->load(std::memory_order_relaxed);
}

}  // namespace

/// A text that waits, is being read or is being written.
struct Scheduler::Text {
  Text(std::vector<int> prompt_ids, GenerateOptions generate_options, const Tokenizer& tokenizer,
       OnEnd at_end)
      : prompt(std::move(prompt_ids)),
        options(std::move(generate_options)),
        on_end(std::move(at_end)),
        writer(options, tokenizer, options.constraint != nullptr ? options.constraint->Clone() : nullptr) {}

  size_t read() const { return static_cast<size_t>(result.prompt_tokens); }
  bool is_read() const { return read() == prompt.size(); }
  int next_rows() const {
    return is_read() ? 1 : static_cast<int>(std::min<size_t>(kPrefillRows, prompt.size() - read()));
  }
  void Emit(const std::string& text) const {
    if (options.on_text && !text.empty()) options.on_text(text);
  }
  void Report() const {
    if (options.on_progress) options.on_progress(result.prompt_tokens, result.tokens);
  }
  void End(Generation::End end) {
    result.end = end;
    Emit(writer.Finish());
    ended = true;
  }

  std::vector<int> prompt;
  GenerateOptions options;
  OnEnd on_end;
  TextWriter writer;
  FinishedText result;
  int slot = -1;
  bool ended = false;
  Clock::time_point start;  // of reading, then of writing
};

Scheduler::Scheduler(const LoadedModel& model, const Tokenizer& tokenizer, Limits limits)
    : model_(model), tokenizer_(tokenizer), limits_(limits), state_(model.NewState(limits.slots)) {
  Check(limits.rows >= 1, "a batch must have at least 1 row but is to have {}", limits.rows);
  for (int slot = limits.slots; slot-- > 0;) free_slots_.push_back(slot);
}

Scheduler::~Scheduler() = default;

void Scheduler::Add(std::vector<int> prompt, GenerateOptions options, OnEnd on_end) {
  Check(options.resume == nullptr && options.snapshot == nullptr,
        "[scheduler] texts begin and end here; it takes and leaves no states");
  if (prompt.empty()) prompt.push_back(Tokenizer::kEndOfText);
  for (int token : prompt) {
    Check(token >= 0 && token < model_.vocab(), "the prompt has the token {}, but the model's are 0 to {}",
          token, model_.vocab() - 1);
  }
  waiting_.push_back(
      std::make_unique<Text>(std::move(prompt), std::move(options), tokenizer_, std::move(on_end)));
}

void Scheduler::Admit() {
  while (!waiting_.empty() && !free_slots_.empty()) {
    std::unique_ptr<Text> text = std::move(waiting_.front());
    waiting_.pop_front();
    text->slot = free_slots_.back();
    free_slots_.pop_back();
    state_.Reset(text->slot);
    text->start = Clock::now();
    running_.push_back(std::move(text));
  }
}

std::vector<Scheduler::Text*> Scheduler::Fill(Batch& batch) const {
  std::vector<Text*> texts;
  const auto append = [&](Text& text) {
    if (text.is_read()) {
      batch.Append({text.writer.ids().back()}, text.slot);
    } else {
      const auto begin = text.prompt.begin() + static_cast<ptrdiff_t>(text.read()),
                 end = begin + text.next_rows();
      batch.Append({begin, end}, text.slot);
      text.result.prompt_tokens += end - begin;
    }
    if (text.is_read()) batch.wanted.push_back(batch.start.back() - 1);
    texts.push_back(&text);
  };
  for (const auto& text : running_) {
    if (text->is_read()) append(*text);
  }
  const size_t writing = texts.size();
  for (const auto& text : running_) {
    const int rows = static_cast<int>(batch.tokens.size()) + text->next_rows();
    const bool fits = rows <= limits_.rows || texts.size() == writing;
    if (!text->is_read() && fits) append(*text);
  }
  return texts;
}

void Scheduler::Advance(Text& text, std::span<const float> logits) const {
  try {
    DrawNext(text, logits);
  } catch (const Error& error) {
    text.result.error = error.what();
    text.ended = true;
  }
}

void Scheduler::DrawNext(Text& text, std::span<const float> logits) const {
  FinishedText& result = text.result;
  if (text.writer.ids().empty()) {
    result.prompt_seconds = SecondsSince(text.start);
    text.start = Clock::now();
  }
  const auto token = text.writer.Next(logits);
  if (token) {
    ++result.tokens;
    text.Emit(token->shown);
    if (!text.writer.end() || *text.writer.end() == Generation::End::kLength) text.Report();
  }
  if (text.writer.end()) text.End(*text.writer.end());
}

void Scheduler::Retire() {
  std::vector<std::unique_ptr<Text>> ended;
  for (auto& text : running_) {
    if (!text->ended) continue;
    text->result.ids = text->writer.ids();
    (text->is_read() ? text->result.seconds : text->result.prompt_seconds) = SecondsSince(text->start);
    free_slots_.push_back(text->slot);
    ended.push_back(std::move(text));
  }
  std::erase(running_, nullptr);
  for (const auto& text : ended) {
    if (text->on_end) text->on_end(text->result);
  }
}

bool Scheduler::Step() {
  for (const auto& text : running_) {
    if (Interrupted(text->options)) text->End(Generation::End::kInterrupted);
  }
  Retire();
  Admit();
  if (running_.empty()) return false;
  Batch batch;
  const std::vector<Text*> texts = Fill(batch);
  // No rows wanted would mean all of them; and a prompt's beginning has no need of the head.
  const bool any_wanted = !batch.wanted.empty();
  if (!any_wanted) batch.wanted = {batch.start.back() - 1};
  const Tensor out = any_wanted ? model_.model->Forward(batch, state_) : model_.model->Hidden(batch, state_);
  const float* row = out.data();
  for (Text* text : texts) {
    if (!text->is_read()) {
      text->Report();
      continue;
    }
    Advance(*text, {row, static_cast<size_t>(out.dim(1))});
    row += out.dim(1);
  }
  Retire();
  return true;
}

}  // namespace linnet

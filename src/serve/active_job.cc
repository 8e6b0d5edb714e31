#include "serve/active_job.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "serve/scored_token.h"

namespace linnet {
namespace {

/// Numbers in the logits of a piece of a prompt that is scored: 16 MB, a part of the last-level cache.
constexpr Dim kLogitsAtOnce = 4 << 20;

WritingOptions WritingOf(const Job& job) {
  return {job.max_tokens, job.sampler, job.seed, job.stops, job.past_end, {}};
}

Tensor RowTensor(std::span<const float> row) {
  const Tensor copy = Tensor::Empty({static_cast<Dim>(row.size())});
  std::copy(row.begin(), row.end(), copy.data());
  return copy;
}

}  // namespace

ActiveJob::ActiveJob(uint64_t id, Job job, const LoadedModel& model, const Tokenizer& tokenizer)
    : id_(id),
      job_(std::move(job)),
      tokenizer_(tokenizer),
      vocab_(model.vocab()),
      width_(model.model->head().dim(1)),
      writer_((FitContext(model), WritingOf(job_)), tokenizer, std::move(job_.constraint)),
      variant_key_(VariantKey(job_.variant, model)),
      reading_(std::move(job_.prompt)),
      since_(Clock::now()) {
  if (reading_.empty() && !(job_.start && job_.start->logits)) {
    Check(!job_.start || job_.start->tokens == 0,
          "the state does not say what followed it (it is a mixture); give it a prompt");
    reading_.push_back(Tokenizer::kEndOfText);
  }
  for (int token : reading_) {
    Check(token >= 0 && token < vocab_, "the prompt has the token {}, but the model's are 0 to {}", token,
          vocab_ - 1);
  }
  CheckMarks();
  Check(!job_.embed || job_.embed_from < reading_.size(), "there is no text to embed");
}

/// A model whose state has room for so many tokens only must not be asked for more: a forward pass that
/// throws takes others along.
void ActiveJob::FitContext(const LoadedModel& model) {
  const auto context = model.sizes.find("context");
  if (context == model.sizes.end()) return;
  const int64_t seen = job_.start ? job_.start->tokens : 0;
  const int64_t left =
      context->second - seen - std::max<int64_t>(1, static_cast<int64_t>(job_.prompt.size()));
  Check(left >= 0, "the prompt has {} tokens, after {} that were read before; this model remembers {}",
        job_.prompt.size(), seen, context->second);
  job_.max_tokens = std::min(job_.max_tokens, left);
}

void ActiveJob::CheckMarks() const {
  size_t last = 0;
  for (const Mark& mark : job_.marks) {
    Check(mark.tokens >= last && mark.tokens <= reading_.size(),
          "[engine] a mark lies at {} of {} tokens, after one at {}", mark.tokens, reading_.size(), last);
    last = mark.tokens;
  }
}

std::string ActiveJob::KeyOf(const std::string& key) const {
  return job_.client + '\n' + variant_key_ + '\n' + key;
}

std::vector<ActiveJob::Beginning> ActiveJob::Beginnings() const {
  std::vector<Beginning> beginnings;
  if (job_.prompt_logprobs || job_.embed) return beginnings;
  for (auto mark = job_.marks.rbegin(); mark != job_.marks.rend(); ++mark) {
    if (mark->tokens > 0)
      beginnings.push_back({mark->tokens, KeyOf(mark->key), mark->tokens == reading_.size()});
  }
  return beginnings;
}

void ActiveJob::Begin(State& state, int slot, StateCache& cache, size_t tokens,
                      const std::shared_ptr<const Snapshot>& known) {
  if (job_.shared && job_.shared->place) {
    const std::shared_ptr<SharedPrompt> shared = std::exchange(job_.shared, nullptr);
    prompt_scores_ = shared->scores;
    Begin(state, slot, cache, reading_.size(), shared->place);
    result_.cached_tokens = shared->cached_tokens;
    return;
  }
  state_ = &state;
  cache_ = &cache;
  slot_ = slot;
  const Snapshot* from = known ? known.get() : job_.start ? job_.start.get() : job_.variant.state.get();
  if (from != nullptr) {
    state.Restore(slot, from->variables);
    seen_ = from->tokens;
  } else {
    state.Reset(slot);
  }
  if (known) read_ = segment_ = tokens;
  result_.cached_tokens = static_cast<int64_t>(read_);
  result_.prompt_tokens = static_cast<int64_t>(reading_.size());
  while (next_mark_ < job_.marks.size() && job_.marks[next_mark_].tokens <= read_) ++next_mark_;
  SetPhase(Phase::kPrompt);
  if (read_ == reading_.size()) EndPrompt({from->logits.data(), static_cast<size_t>(vocab_)});
}

void ActiveJob::Pause() {
  paused_ = state_->Save(slot_);
  slot_ = -1;
}

void ActiveJob::Resume(int slot) {
  slot_ = slot;
  state_->Restore(slot, paused_);
  paused_.clear();
}

size_t ActiveJob::SegmentEnd() const {
  const bool marked = phase_ == Phase::kPrompt && next_mark_ < job_.marks.size();
  return marked ? job_.marks[next_mark_].tokens : reading_.size();
}

int ActiveJob::RowsFor(int room) const {
  if (phase_ == Phase::kWriting) return 1;
  const size_t block = segment_ + ((read_ - segment_) / kPrefillRows + 1) * kPrefillRows;
  const auto rest = static_cast<int>(std::min(block, SegmentEnd()) - read_);
  if (job_.prompt_logprobs) room = std::min(room, static_cast<int>(kLogitsAtOnce / vocab_));
  if (rest <= room) return rest;
  int rows = std::max(room / kCutRows, 1) * kCutRows;
  if (rest - rows < kCutRows) rows -= kCutRows;
  return rows > 0 ? rows : rest;
}

std::vector<int> ActiveJob::Next(int rows) const {
  if (phase_ == Phase::kWriting) return {writer_.ids().back()};
  const auto begin = reading_.begin() + static_cast<ptrdiff_t>(read_);
  return {begin, begin + rows};
}

ActiveJob::Wanted ActiveJob::WantedOf(int rows) const {
  if (phase_ == Phase::kWriting) return {0, true};
  const bool in_prompt = phase_ == Phase::kPrompt;
  if (in_prompt && job_.embed) {
    const size_t skipped = job_.embed_from > read_ ? job_.embed_from - read_ : 0;
    return {static_cast<int>(std::min(skipped, static_cast<size_t>(rows))), false};
  }
  if (in_prompt && job_.prompt_logprobs) return {0, true};
  const bool last = read_ + static_cast<size_t>(rows) == reading_.size();
  return {last ? rows - 1 : rows, true};
}

void ActiveJob::Advance(int rows, std::span<const float> hidden, std::span<const float> logits) {
  seen_ += rows;
  if (phase_ == Phase::kWriting) return Draw(logits);
  if (phase_ == Phase::kPrompt && job_.embed) AddHidden(hidden);
  if (phase_ == Phase::kPrompt && job_.prompt_logprobs) ScorePrompt(rows, logits);
  read_ += static_cast<size_t>(rows);
  const bool done = read_ == reading_.size();
  const std::span<const float> last = done && !logits.empty() ? logits.last(vocab_) : logits.first(0);
  if (phase_ == Phase::kPrompt) KeepMark(last);
  if (!done) return;
  if (phase_ == Phase::kPrompt) return EndPrompt(last);
  Close(last);
}

Snapshot ActiveJob::Save(std::span<const float> logits) const {
  return {state_->Save(slot_), logits.empty() ? Tensor() : RowTensor(logits), seen_};
}

void ActiveJob::KeepMark(std::span<const float> logits) {
  while (next_mark_ < job_.marks.size() && job_.marks[next_mark_].tokens == read_) {
    const std::string key = KeyOf(job_.marks[next_mark_++].key);
    if (!cache_->Find(key, !logits.empty())) cache_->Put(key, std::make_shared<Snapshot>(Save(logits)));
    segment_ = read_;
  }
}

void ActiveJob::AddHidden(std::span<const float> hidden) {
  const auto width = static_cast<size_t>(width_);
  hidden_sums_.resize(width);
  for (size_t i = 0; i < hidden.size(); ++i) hidden_sums_[i % width] += hidden[i];
}

void ActiveJob::ScorePrompt(int rows, std::span<const float> logits) {
  // Nothing says what the first token follows.
  if (read_ == 0) prompt_scores_.push_back({reading_[0], std::numeric_limits<double>::quiet_NaN(), {}});
  for (int row = 0; row < rows; ++row) {
    const size_t next = read_ + static_cast<size_t>(row) + 1;
    if (next == reading_.size()) break;
    prompt_scores_.push_back(
        ScoreToken(logits.subspan(static_cast<size_t>(row * vocab_), static_cast<size_t>(vocab_)),
                   reading_[next], job_.top_logprobs));
  }
}

void ActiveJob::SharePrompt(std::span<const float> logits) {
  const std::shared_ptr<SharedPrompt> shared = std::exchange(job_.shared, nullptr);
  shared->scores = prompt_scores_;
  shared->cached_tokens = result_.cached_tokens;
  shared->place = std::make_shared<const Snapshot>(Save(logits));
}

void ActiveJob::EndPrompt(std::span<const float> logits) {
  if (job_.shared) SharePrompt(logits);
  SetPhase(Phase::kWriting);
  if (job_.prompt_logprobs && job_.on_prompt_scores) job_.on_prompt_scores(prompt_scores_);
  if (!job_.embed) return Draw(logits);
  std::vector<float> mean;
  const auto count = static_cast<double>(reading_.size() - job_.embed_from);
  for (double sum : hidden_sums_) mean.push_back(static_cast<float>(sum / count));
  if (job_.on_hidden) job_.on_hidden(std::move(mean));
  SetPhase(Phase::kEnded);
}

void ActiveJob::Draw(std::span<const float> logits) {
  auto token = writer_.Next(logits);
  if (token) {
    if (job_.closes) {
      if (const auto closing = job_.closes(token->shown))
        return EndWithin(std::move(*token), *closing, logits);
    }
    Show(*token, logits);
    if (keeps() && writer_.end() != TextEnd::kStopString)
      way_back_.Note(writer_, *token, [&] { return Save(logits); });
  }
  // Who has the scores of a prompt counts on those of one token more, be it the end.
  const bool scores_end = job_.prompt_logprobs && !token && writer_.end() == TextEnd::kEndOfText;
  if (scores_end) Show({Tokenizer::kEndOfText, "", ""}, logits);
  if (writer_.end()) EndWriting(token ? &*token : nullptr, logits);
}

void ActiveJob::Show(const TextWriter::Token& token, std::span<const float> logits) {
  if (job_.key_after) answer_ += token.shown;
  if (!job_.on_text) return;
  if (job_.top_logprobs >= 0) {
    const ScoredToken score = ScoreToken(logits, token.id, job_.top_logprobs);
    job_.on_text(token.shown, &score);
  } else if (!token.shown.empty()) {
    job_.on_text(token.shown, nullptr);
  }
}

void ActiveJob::EndWriting(const TextWriter::Token* last, std::span<const float> logits) {
  result_.end = *writer_.end();
  const std::string rest = writer_.Finish();
  answer_ += rest;
  if (job_.on_text && !rest.empty()) job_.on_text(rest, nullptr);
  if (!keeps()) return SetPhase(Phase::kEnded);
  if (result_.end == TextEnd::kStopString) return ReadShown(*last, logits);
  reading_.clear();
  read_ = segment_ = 0;
  if (last == nullptr) return Close(logits);
  reading_ = {last->id};
  SetPhase(Phase::kClosing);
}

void ActiveJob::EndWithin(TextWriter::Token token, const Job::Closing& closing,
                          std::span<const float> logits) {
  result_.end = TextEnd::kStopString;
  token.shown.resize(closing.bytes);
  Show(token, logits);
  answer_ += closing.text;
  token.shown += closing.text;
  if (!keeps()) return SetPhase(Phase::kEnded);
  ReadShown(token, logits);
}

void ActiveJob::ReadShown(const TextWriter::Token& last, std::span<const float> logits) {
  const WayBack::Place place = way_back_.Take(last);
  reading_ = tokenizer_.Encode(place.text);
  read_ = segment_ = 0;
  if (place.from) {
    state_->Restore(slot_, place.from->variables);
    seen_ = place.from->tokens;
    logits = {place.from->logits.data(), static_cast<size_t>(vocab_)};
  }
  if (reading_.empty()) return Close(logits);
  SetPhase(Phase::kClosing);
}

void ActiveJob::Close(std::span<const float> logits) {
  const auto place = std::make_shared<const Snapshot>(Save(logits));
  if (job_.keep_place) result_.place = place;
  const std::string key = job_.key_after ? job_.key_after(answer_) : "";
  if (!key.empty()) cache_->Put(KeyOf(key), place);
  SetPhase(Phase::kEnded);
}

void ActiveJob::Interrupt() {
  result_.end = TextEnd::kInterrupted;
  SetPhase(Phase::kEnded);
}

void ActiveJob::Fail(const std::string& why) {
  result_.end = TextEnd::kInterrupted;
  result_.error = why.empty() ? "unknown" : why;
  SetPhase(Phase::kEnded);
}

void ActiveJob::Finish() {
  result_.ids = writer_.ids();
  if (job_.on_end) std::exchange(job_.on_end, nullptr)(result_);
}

void ActiveJob::SetPhase(Phase phase) {
  const Clock::time_point now = Clock::now();
  auto& spent = phase_ == Phase::kWaiting  ? result_.queued
                : phase_ == Phase::kPrompt ? result_.reading
                                           : result_.writing;
  spent += now - since_;
  since_ = now;
  phase_ = phase;
}

}  // namespace linnet

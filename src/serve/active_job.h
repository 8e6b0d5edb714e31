// ActiveJob: a job from the moment it is accepted to its end: what it reads next, and what it does with the
// rows that come of it. It knows nothing of threads, of the queue or of the other jobs.
//
//   waits -> reads its prompt -> writes -> (reads what puts its place where the answer ends) -> has ended
//
// The prompt falls into segments at its marks, and each is read as Prefill() would: it is cut where Prefill()
// cuts it, or where a cut changes no bit (kCutRows). So a text is the same to the bit whatever room the other
// jobs leave it, and whether its beginning came from the cache or not.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <vector>

#include "infer/text_writer.h"
#include "serve/engine.h"
#include "serve/state_cache.h"

namespace linnet {

class ActiveJob {
 public:
  /// Throws Error as Generate() for what a user got wrong. Model and tokenizer must outlive it.
  ActiveJob(uint64_t id, Job job, const LoadedModel& model, const Tokenizer& tokenizer);

  uint64_t id() const { return id_; }
  const std::string& client() const { return job_.client; }
  const Adapters* adapters() const { return job_.variant.lora.get(); }
  int slot() const { return slot_; }
  /// Null if there is none, or if it has begun behind the prompt.
  SharedPrompt* shared() const { return job_.shared.get(); }

  /// What the cache calls a place from which the job can begin.
  struct Beginning {
    size_t tokens = 0;  // of the prompt before it
    std::string key;    // of the cache
    bool needs_logits;  // nothing follows
  };
  /// All of them, the last first. None if all of the prompt has to be read.
  std::vector<Beginning> Beginnings() const;

  /// Takes a slot of the state and begins `tokens` into its prompt, where the text stands as in `known`; at
  /// the beginning if that is null; behind the prompt if another job that shares it has read it. State and
  /// cache must live until the job ends.
  void Begin(State& state, int slot, StateCache& cache, size_t tokens,
             const std::shared_ptr<const Snapshot>& known);

  /// Gives its slot away; Resume() takes another.
  void Pause();
  bool is_paused() const { return slot_ < 0 && phase_ != Phase::kWaiting; }
  void Resume(int slot);

  bool reads_prompt() const { return phase_ == Phase::kPrompt; }
  bool writes() const { return phase_ == Phase::kWriting; }
  bool has_ended() const { return phase_ == Phase::kEnded; }

  /// Rows that it reads next if there is room for so many; a few more where so few cannot be cut off.
  int RowsFor(int room) const;
  /// The next tokens that it reads.
  std::vector<int> Next(int rows) const;
  /// What is wanted of the next `rows` rows: the last ones, from row `first` on; none if that is `rows`.
  struct Wanted {
    int first;
    bool logits;  // or else the hidden states alone
  };
  Wanted WantedOf(int rows) const;
  /// So many rows have been read; `hidden` [wanted, C] and `logits` [wanted, V] are what was wanted of them.
  /// Calls the job's functions. Throws what they throw, and Error if the job cannot go on.
  void Advance(int rows, std::span<const float> hidden, std::span<const float> logits);

  /// Ends it, waiting or not.
  void Interrupt();
  void Fail(const std::string& why);

  const JobResult& result() const { return result_; }
  /// Drawn so far.
  int64_t tokens() const { return static_cast<int64_t>(writer_.ids().size()); }
  /// Calls on_end, once.
  void Finish();

 private:
  enum class Phase { kWaiting, kPrompt, kWriting, kClosing, kEnded };
  using Clock = std::chrono::steady_clock;

  void CheckMarks() const;
  void FitContext(const LoadedModel& model);
  std::string KeyOf(const std::string& key) const;
  bool keeps() const { return job_.keep_place || job_.key_after; }
  size_t SegmentEnd() const;
  Snapshot Save(std::span<const float> logits) const;
  void SetPhase(Phase phase);

  void KeepMark(std::span<const float> logits);
  void AddHidden(std::span<const float> hidden);
  void ScorePrompt(int rows, std::span<const float> logits);
  void SharePrompt(std::span<const float> logits);
  void EndPrompt(std::span<const float> logits);
  void Draw(std::span<const float> logits);
  void Show(const TextWriter::Token& token, std::span<const float> logits);
  void EndWriting(const TextWriter::Token* last, std::span<const float> logits);
  /// Ends the text within a token, which has not been read yet.
  void EndWithin(TextWriter::Token token, const Job::Closing& closing, std::span<const float> logits);
  /// Has the text read up to the end of what is shown of its last token.
  void ReadShown(const TextWriter::Token& last, std::span<const float> logits);
  void Close(std::span<const float> logits);

  uint64_t id_;
  Job job_;
  const Tokenizer& tokenizer_;
  Dim vocab_, width_;
  TextWriter writer_;
  WayBack way_back_;
  JobResult result_;
  Phase phase_ = Phase::kWaiting;
  std::string variant_key_;

  State* state_ = nullptr;
  StateCache* cache_ = nullptr;
  int slot_ = -1;
  std::vector<Tensor> paused_;
  int64_t seen_ = 0;          // tokens, those before the prompt included
  std::vector<int> reading_;  // the prompt, then what closes the text
  size_t read_ = 0, segment_ = 0, next_mark_ = 0;
  std::string answer_;
  std::vector<double> hidden_sums_;
  std::vector<ScoredToken> prompt_scores_;
  Clock::time_point since_;  // the phase
};

}  // namespace linnet

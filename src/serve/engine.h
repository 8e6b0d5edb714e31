// Engine: the one thread that owns the model and the slots of its state. Handlers give it jobs from any
// thread; each step is one forward pass over the next token of every text that is being written and, under a
// budget of rows, chunks of prompts that are being read, so that a long prompt never keeps the others
// waiting.
//
// What it has read it keeps: a job names the places of its prompt at which the state is worth keeping (Mark),
// each by a key that stands for everything before it, and reading starts at the last place that is known
// (serve/state_cache.h). A prompt is always cut at its marks, known or not, so that a text is the same to the
// bit whether its beginning came from the cache or not.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "infer/constraint.h"
#include "infer/generator.h"
#include "ops/adapters.h"

namespace linnet {

class ActiveJob;

/// A place in a prompt and what stands for all that comes before it: a hash of the text (and of the client,
/// LoRA and initial state, which Engine adds).
struct Mark {
  size_t tokens = 0;  // of the prompt before it
  std::string key;    // 32 hexadecimal digits
};

/// A LoRA or a tuned initial state that a request asked for by name: loaded once, shared by all its users.
struct Variant {
  std::string lora_name, state_name;  // "" for none
  std::shared_ptr<const Adapters> lora;
  std::shared_ptr<const Snapshot> state;
};

/// The likeliest tokens and the one that came.
struct ScoredToken {
  int token = 0;
  double logprob = 0;                       // of the model itself: before bias, penalties and temperature
  std::vector<std::pair<int, double>> top;  // the likeliest first
};

struct JobResult {
  Generation::End end = Generation::End::kLength;
  std::string error;  // not empty: why it could not go on
  std::vector<int> ids;
  int64_t prompt_tokens = 0;  // cached ones included
  int64_t cached_tokens = 0;
  std::chrono::nanoseconds queued{0}, reading{0}, writing{0};
  /// The place after the prompt and the answer, without what ended it; shared with the cache.
  std::shared_ptr<const Snapshot> place;
};

/// What jobs with one prompt share, the choices of a request: the first of them that gets a slot reads it,
/// the others go on from where that came to, the same to the bit. For the engine's thread.
struct SharedPrompt {
  const ActiveJob* reader = nullptr;      // that reads it, or has
  std::shared_ptr<const Snapshot> place;  // after it, with logits; null until it was read
  std::vector<ScoredToken> scores;        // of its tokens, if they are wanted
  int64_t cached_tokens = 0;
};

struct Job {
  std::string client;  // see HttpRequest
  std::vector<int> prompt;
  std::vector<Mark> marks;  // ascending; each is looked up, and kept once it was reached
  Variant variant;
  /// Goes on from here instead of from the beginning: a stored conversation. Marks then are of what follows.
  std::shared_ptr<const Snapshot> start;
  /// With jobs that have all of the above, and `prompt_logprobs`, in common; or null.
  std::shared_ptr<SharedPrompt> shared;

  int64_t max_tokens = 256;
  SamplerOptions sampler;
  uint64_t seed = 0;
  std::vector<std::string> stops;
  bool past_end = false;                   // goes on after the end-of-text token
  std::unique_ptr<Constraint> constraint;  // or null
  int top_logprobs = -1;                   // -1: no scores are wanted
  bool prompt_logprobs = false;            // scores of the prompt's tokens, too (echo); reads all of it
  bool embed = false;                      // only reads; `on_hidden` gets the mean over the prompt's rows
  size_t embed_from = 0;                   // from that of this token on
  bool keep_place = false;                 // fills JobResult::place

  /// Where an answer is complete within a piece of text: after how many of its bytes, and what the model
  /// reads behind them as if it had written it, so that the place after it is one of its own form.
  struct Closing {
    size_t bytes;
    std::string text;
  };
  /// Is given each piece before `on_text` is, and ends the answer within one; may be null.
  std::function<std::optional<Closing>(std::string_view text)> closes;

  /// All are called on the engine's thread and must not block; what they throw ends the job with that error.
  /// Text is bytes: a piece may end inside a character; stop texts never appear in it. If scores are wanted
  /// `on_text` is called for every token, even where its text is held back, and `score` is not null but for
  /// text that was held back to the end. Of a prompt's scores the first has no number (NaN): nothing comes
  /// before it.
  std::function<void(std::string_view text, const ScoredToken* score)> on_text;
  std::function<void(const std::vector<ScoredToken>& scores)> on_prompt_scores;
  std::function<void(std::vector<float> mean)> on_hidden;
  /// Names the place after the answer, so that the next turn finds it; may be null.
  std::function<std::string(const std::string& answer)> key_after;
  std::function<void(const JobResult& result)> on_end;
};

/// Why a job was not taken: too many wait.
struct QueueFull {
  int retry_after_s;
};

/// Why a job was not taken: the engine is being drained.
class Draining : public Error {
 public:
  using Error::Error;
};

/// Figures since the start, and of this moment.
struct EngineFigures {
  int64_t jobs = 0, failed = 0, cancelled = 0, refused = 0;
  int64_t prompt_tokens = 0, cached_tokens = 0, tokens = 0, steps = 0;
  int64_t read_tokens = 0;  // of prompts: those neither known nor shared
  int waiting = 0, reading = 0, writing = 0, slots = 0;
  int64_t cache_bytes = 0, cache_entries = 0, cache_hits = 0, cache_misses = 0;
  double tokens_per_s = 0;  // over the last ten seconds
};

class Engine {
 public:
  struct Options {
    int slots = 16;
    int queue = 256;          // jobs that may wait
    int rows = kPrefillRows;  // of prompts in one step while others are being written
    int64_t cache_bytes = int64_t{512} << 20;
    std::filesystem::path cache_dir = {};  // "": nothing is kept on disk
    int64_t cache_dir_bytes = int64_t{4} << 30;
  };

  /// All must outlive the engine. Throws Error if an option makes no sense. Starts the thread.
  Engine(const LoadedModel& model, const Tokenizer& tokenizer, Options options);
  /// Ends what is left as interrupted.
  ~Engine();

  using JobId = uint64_t;
  /// From any thread. Throws Error as Generate() for what a user got wrong, QueueFull if too many wait, and
  /// Draining after Drain().
  JobId Submit(Job job);
  /// Ends a job, waiting or running, before the next step; nothing if it has ended. From any thread.
  void Cancel(JobId id);
  /// Takes no more jobs and returns when those it has are done, or after `limit`, having ended the rest.
  void Drain(std::chrono::seconds limit);

  EngineFigures Figures() const;
  const LoadedModel& model() const;
  const Tokenizer& tokenizer() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace linnet

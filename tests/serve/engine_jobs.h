// Jobs for tests of the engine, and a client that waits for their ends.
#pragma once

#include <condition_variable>
#include <future>
#include <mutex>
#include <string>
#include <vector>

#include "infer/tiny_model.h"
#include "serve/engine.h"

namespace linnet {

inline const BytesTokenizer kBytes;

inline std::vector<int> SomePrompt(size_t length, int start) {
  std::vector<int> prompt(length);
  for (size_t i = 0; i < length; ++i)
    prompt[i] = static_cast<int>((i * i + 3 * i + static_cast<size_t>(start)) % 251);
  return prompt;
}

inline Job SomeJob(size_t prompt, int start, int64_t max_tokens) {
  Job job;
  job.prompt = SomePrompt(prompt, start);
  job.max_tokens = max_tokens;
  job.seed = static_cast<uint64_t>(start);
  job.past_end = true;
  return job;
}

/// Holds the engine's thread at the first token of a job, until all that a test wants to be there is.
class Gate {
 public:
  Job Hold(Job job) {
    job.on_text = [this, first = true](std::string_view, const ScoredToken*) mutable {
      if (!std::exchange(first, false)) return;
      reached_.set_value();
      opened_.get_future().wait();
    };
    return job;
  }
  void WaitUntilReached() { reached_.get_future().wait(); }
  void Open() { opened_.set_value(); }

 private:
  std::promise<void> reached_, opened_;
};

/// What became of a job.
struct Outcome {
  std::string text;
  JobResult result;
  bool ended = false;
  int order = 0;  // in which they ended, from 1
};

/// Submits jobs and keeps what they say.
class Client {
 public:
  explicit Client(Engine& engine) : engine_(engine) {}
  /// Cancels what is left.
  ~Client() {
    for (size_t i = 0; i < ids_.size(); ++i) Cancel(i);
    for (size_t i = 0; i < ids_.size(); ++i) Wait(i);
  }

  /// Which of the outcomes is its.
  size_t Submit(Job job) {
    size_t index;
    {
      std::lock_guard lock(mutex_);
      index = outcomes_.size();
      outcomes_.push_back(std::make_unique<Outcome>());
    }
    Outcome& outcome = *outcomes_[index];
    auto on_text = std::move(job.on_text);
    job.on_text = [&outcome, on_text](std::string_view text, const ScoredToken* score) {
      outcome.text += text;
      if (on_text) on_text(text, score);
    };
    const auto on_end = std::move(job.on_end);
    job.on_end = [this, &outcome, on_end](const JobResult& result) {
      if (on_end) on_end(result);
      std::lock_guard lock(mutex_);
      outcome.result = result;
      outcome.ended = true;
      outcome.order = ++order_;
      ended_.notify_all();
    };
    const Engine::JobId id = engine_.Submit(std::move(job));
    std::lock_guard lock(mutex_);
    ids_.resize(outcomes_.size());
    ids_[index] = id;
    return index;
  }
  const Outcome& Wait(size_t index) {
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [&] { return outcomes_[index]->ended; });
    return *outcomes_[index];
  }
  bool Ended(size_t index) {
    std::lock_guard lock(mutex_);
    return outcomes_[index]->ended;
  }
  const Outcome& Run(Job job) { return Wait(Submit(std::move(job))); }
  void Cancel(size_t index) { engine_.Cancel(ids_[index]); }

 private:
  Engine& engine_;
  std::mutex mutex_;
  std::condition_variable ended_;
  std::vector<std::unique_ptr<Outcome>> outcomes_;
  std::vector<Engine::JobId> ids_;
  int order_ = 0;
};

}  // namespace linnet

// What benchmark programs ask of the server's engine.
#pragma once

#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <string>
#include <vector>

#include "base/random.h"
#include "nn/model.h"
#include "serve/engine.h"
#include "text/tokenizer_of.h"

namespace linnet::bench {

inline std::unique_ptr<Tokenizer> TokenizerOf(const LoadedModel& model, const std::string& path) {
  const auto named = model.metadata.find("tokenizer");
  return linnet::TokenizerOf(
      {path, model.vocab(), "", named == model.metadata.end() ? "" : named->second, model.vocabulary});
}

inline std::vector<int> SomeTokens(int64_t count, int vocab, uint64_t seed) {
  Random random(seed);
  std::vector<int> tokens(static_cast<size_t>(count));
  for (int& token : tokens) token = 1 + static_cast<int>(random.Uniform() * (vocab - 1));
  return tokens;
}

/// Submits jobs and waits for their ends.
class Jobs {
 public:
  explicit Jobs(Engine& engine) : engine_(engine) {}
  ~Jobs() { Wait(); }
  Engine::JobId Submit(Job job) {
    {
      std::lock_guard lock(mutex_);
      ++left_;
    }
    const auto on_end = job.on_end;
    job.on_end = [this, on_end](const JobResult& result) {
      if (!result.error.empty()) std::fprintf(stderr, "a job failed: %s\n", result.error.c_str());
      if (on_end) on_end(result);
      std::lock_guard lock(mutex_);
      --left_;
      ended_.notify_all();
    };
    return engine_.Submit(std::move(job));
  }
  void Wait() {
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [&] { return left_ == 0; });
  }

 private:
  Engine& engine_;
  std::mutex mutex_;
  std::condition_variable ended_;
  int left_ = 0;
};

}  // namespace linnet::bench

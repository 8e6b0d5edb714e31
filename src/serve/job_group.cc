#include "serve/job_group.h"

#include <utility>

namespace linnet {

template <class Call>
void JobGroup::Locked(const Call& call) {
  const std::lock_guard lock(mutex_);
  if (!over_) call();
}

void JobGroup::Attach(Job& job, size_t index) {
  const auto self = shared_from_this();
  job.on_text = [self, index](std::string_view text, const ScoredToken* score) {
    self->Locked([&] { self->OnText(index, text, score); });
  };
  if (job.prompt_logprobs) {
    job.on_prompt_scores = [self, index](const std::vector<ScoredToken>& scores) {
      self->Locked([&] { self->OnPromptScores(index, scores); });
    };
  }
  if (job.embed) {
    job.on_hidden = [self, index](std::vector<float> mean) {
      self->Locked([&] { self->OnHidden(index, std::move(mean)); });
    };
  }
  job.on_end = [self, index](const JobResult& result) { self->End(index, result); };
}

void JobGroup::Start(Engine& engine, std::vector<Job> jobs) {
  engine_ = &engine;
  running_ = jobs.size();
  for (size_t i = 0; i < jobs.size(); ++i) {
    Attach(jobs[i], i);
    try {
      const Engine::JobId id = engine.Submit(std::move(jobs[i]));
      const std::lock_guard lock(mutex_);
      ids_.push_back(id);
      if (!over_) continue;
    } catch (const QueueFull&) {
      if (i == 0) throw;
      Fail(HttpError(429, "too many requests wait already for all choices of this one to be taken", "",
                     "queue_full"));
    } catch (const Error& error) {
      if (i == 0) throw;
      Fail(HttpError(400, error.what()));
    }
    break;
  }
  reply_->OnGone([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->Cancel();
  });
  bool over;
  {
    const std::lock_guard lock(mutex_);
    over = over_;
  }
  if (over) Cancel();  // those that were given while one failed
}

void JobGroup::End(size_t job, const JobResult& result) {
  if (!result.error.empty()) return Fail(HttpError(500, "the model failed at this text: " + result.error));
  if (result.end == Generation::End::kInterrupted)
    return Fail(HttpError(503, "the server stopped before this was finished", "", "stopping"));
  Locked([&] {
    OnEnd(job, result);
    if (--running_ > 0) return;
    over_ = true;
    OnAllEnded();
  });
}

void JobGroup::Fail(const HttpError& error) {
  Locked([&] {
    over_ = true;
    SendFailure(error);
  });
  Cancel();
}

void JobGroup::Cancel() {
  std::vector<Engine::JobId> ids;
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
    ids.swap(ids_);
  }
  for (const Engine::JobId id : ids) engine_->Cancel(id);
}

}  // namespace linnet

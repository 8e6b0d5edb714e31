#include "serve/job_group.h"

#include <optional>
#include <utility>

#include "serve/router.h"

namespace linnet {
namespace {

constexpr size_t kTogether = 64;  // jobs of a request that the engine has at a time

}  // namespace

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
  jobs_ = std::move(jobs);
  SubmitMore();
  reply_->OnGone([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->Cancel();
  });
}

void JobGroup::SubmitMore() {
  std::unique_lock lock(mutex_);
  while (!over_ && !giving_ && given_ < jobs_.size() && given_ - ended_ < kTogether) {
    const size_t index = given_++;
    Attach(jobs_[index], index);
    giving_ = true;
    lock.unlock();  // the job may end before Submit returns
    std::optional<HttpError> refused;
    Engine::JobId id = 0;
    try {
      id = engine_->Submit(std::move(jobs_[index]));
    } catch (const QueueFull&) {
      if (index == 0) throw;
      refused = HttpError(429, "too many requests wait already for all texts of this one", "", "queue_full");
    } catch (const Draining&) {
      if (index == 0) throw;
      refused = StoppingError();
    } catch (const Error& error) {
      if (index == 0) throw;
      refused = HttpError(400, error.what());
    }
    if (refused) return Fail(*refused);
    lock.lock();
    giving_ = false;
    ids_.push_back(id);
  }
  if (!over_) return;
  lock.unlock();
  Cancel();  // what was given while one failed or the client went
}

void JobGroup::End(size_t job, const JobResult& result) {
  if (!result.error.empty()) return Fail(HttpError(500, "the model failed at this text: " + result.error));
  if (result.end == Generation::End::kInterrupted)
    return Fail(HttpError(503, "the server stopped before this was finished", "", "stopping"));
  Locked([&] {
    reply_->CountTokens(result.prompt_tokens, static_cast<int64_t>(result.ids.size()));
    OnEnd(job, result);
    if (++ended_ < jobs_.size()) return;
    over_ = true;
    OnAllEnded();
  });
  SubmitMore();
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

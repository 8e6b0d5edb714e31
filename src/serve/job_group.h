// JobGroup: the jobs of one request, which end together: when the client goes all are cancelled, and when
// one cannot be taken or fails none goes on. Of many jobs the engine has some at a time, so that one request
// does not fill the queue.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "serve/engine.h"
#include "serve/http.h"

namespace linnet {

/// Base of what makes a reply of several jobs. Its members are touched by one callback at a time.
class JobGroup : public std::enable_shared_from_this<JobGroup> {
 public:
  virtual ~JobGroup() = default;

  /// Gives the jobs to the engine. Throws what Engine::Submit throws of the first one.
  void Start(Engine& engine, std::vector<Job> jobs);

 protected:
  explicit JobGroup(std::shared_ptr<HttpReply> reply) : reply_(std::move(reply)) {}

  virtual void OnText(size_t /*job*/, std::string_view /*text*/, const ScoredToken* /*score*/) {}
  virtual void OnPromptScores(size_t /*job*/, const std::vector<ScoredToken>& /*scores*/) {}
  virtual void OnHidden(size_t /*job*/, std::vector<float> /*mean*/) {}
  virtual void OnEnd(size_t job, const JobResult& result) = 0;
  /// All jobs have ended well.
  virtual void OnAllEnded() = 0;
  /// Says in the reply that it failed; it may have begun.
  virtual void SendFailure(const HttpError& error) = 0;

  HttpReply& reply() { return *reply_; }

 private:
  void Attach(Job& job, size_t index);
  template <class Call>
  void Locked(const Call& call);
  void End(size_t job, const JobResult& result);
  /// Gives the engine what it does not have yet, as long as it takes it.
  void SubmitMore();
  void Fail(const HttpError& error);
  /// Nothing more comes of this.
  void Cancel();

  std::shared_ptr<HttpReply> reply_;
  Engine* engine_ = nullptr;
  std::mutex mutex_;       // jobs may end while others are being given to the engine
  std::vector<Job> jobs_;  // all; those that the engine has are empty
  size_t given_ = 0, ended_ = 0;
  std::vector<Engine::JobId> ids_;
  bool giving_ = false;  // some thread is
  bool over_ = false;
};

}  // namespace linnet

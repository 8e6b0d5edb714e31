#include "serve/job_queue.h"

#include <algorithm>

namespace linnet {

void JobQueue::Push(std::unique_ptr<ActiveJob> job) {
  auto& jobs = jobs_[job->client()];
  if (jobs.empty()) turns_.push_back(job->client());
  jobs.push_back(std::move(job));
  ++size_;
}

void JobQueue::PutBack(std::unique_ptr<ActiveJob> job) {
  auto& jobs = jobs_[job->client()];
  if (jobs.empty()) turns_.push_back(job->client());
  jobs.push_front(std::move(job));
  ++size_;
}

const std::string* JobQueue::Next(const Running& running) const {
  const auto count = [&](const std::string& client) {
    const auto found = running.find(client);
    return found == running.end() ? 0 : found->second;
  };
  const auto next = std::ranges::min_element(turns_, {}, count);
  return next == turns_.end() ? nullptr : &*next;
}

std::unique_ptr<ActiveJob> JobQueue::Pop(const Running& running) {
  const std::string* next = Next(running);
  if (next == nullptr) return nullptr;
  const std::string client = *next;
  std::erase(turns_, client);
  const auto jobs = jobs_.find(client);
  std::unique_ptr<ActiveJob> job = std::move(jobs->second.front());
  jobs->second.pop_front();
  --size_;
  if (jobs->second.empty()) {
    jobs_.erase(jobs);
  } else {
    turns_.push_back(client);
  }
  return job;
}

std::unique_ptr<ActiveJob> JobQueue::Remove(uint64_t id) {
  for (auto jobs = jobs_.begin(); jobs != jobs_.end(); ++jobs) {
    auto& [client, waiting] = *jobs;
    const auto found = std::ranges::find(waiting, id, [](const auto& job) { return job->id(); });
    if (found == waiting.end()) continue;
    std::unique_ptr<ActiveJob> job = std::move(*found);
    waiting.erase(found);
    --size_;
    if (waiting.empty()) {
      std::erase(turns_, client);
      jobs_.erase(jobs);
    }
    return job;
  }
  return nullptr;
}

}  // namespace linnet

// JobQueue: jobs that wait, taken so that all clients have as many that run.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <unordered_map>

#include "serve/active_job.h"

namespace linnet {

class JobQueue {
 public:
  /// How many jobs of a client run.
  using Running = std::unordered_map<std::string, int>;

  void Push(std::unique_ptr<ActiveJob> job);
  /// Puts a job that ran before those of its client.
  void PutBack(std::unique_ptr<ActiveJob> job);
  /// Whose turn it is: of the clients of whom the fewest run, the one that was served longest ago. Null if
  /// none waits.
  const std::string* Next(const Running& running) const;
  /// That client's oldest job; null if there is none.
  std::unique_ptr<ActiveJob> Pop(const Running& running);
  /// Takes a job out; null if it is not here.
  std::unique_ptr<ActiveJob> Remove(uint64_t id);
  size_t size() const { return size_; }

 private:
  std::unordered_map<std::string, std::deque<std::unique_ptr<ActiveJob>>> jobs_;  // none is empty
  std::deque<std::string> turns_;                                                 // the clients that have any
  size_t size_ = 0;
};

}  // namespace linnet

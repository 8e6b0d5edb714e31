// JobQueue: jobs that wait, taken one of each client in turn.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <unordered_map>

#include "serve/active_job.h"

namespace linnet {

class JobQueue {
 public:
  void Push(std::unique_ptr<ActiveJob> job);
  /// The oldest job of the client whose turn it is; null if there is none.
  std::unique_ptr<ActiveJob> Pop();
  /// Takes a job out; null if it is not here.
  std::unique_ptr<ActiveJob> Remove(uint64_t id);
  size_t size() const { return size_; }

 private:
  std::unordered_map<std::string, std::deque<std::unique_ptr<ActiveJob>>> jobs_;  // none is empty
  std::deque<std::string> turns_;                                                 // the clients that have any
  size_t size_ = 0;
};

}  // namespace linnet

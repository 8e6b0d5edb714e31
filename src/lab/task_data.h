// A task as something to train on.
#pragma once

#include <filesystem>
#include <memory>

#include "lab/task.h"
#include "train/data.h"

namespace linnet::lab {

/// `count` examples of a part, evenly spread over its held-out ones, in passes of `batch` sequences.
std::vector<Samples> HeldOutSamples(const Task& task, Part part, int64_t count, int64_t batch);

class TaskData : public Dataset {
 public:
  /// `files` are those that the task reads.
  TaskData(std::shared_ptr<const Task> task, std::vector<std::filesystem::path> files, int64_t batch,
           uint64_t seed);

  /// Every step has examples of its own.
  std::vector<Samples> Draw(int64_t step, DataPosition& position) const override;
  /// Of the validation part; kFewest sequences where tokens allow for fewer, so that shares of right answers
  /// mean something.
  std::vector<Samples> HeldOut(int64_t max_tokens) const override;
  static constexpr int64_t kFewest = 64;

  bool equal_sequences() const override { return true; }
  std::vector<File> files() const override;
  /// 0: the stream of examples has no end.
  int64_t training_tokens() const override { return 0; }
  int64_t held_out_tokens() const override { return task_->held_out() * task_->length(); }

 private:
  std::shared_ptr<const Task> task_;
  std::vector<std::filesystem::path> files_;
  int64_t batch_;
  uint64_t seed_;
};

}  // namespace linnet::lab

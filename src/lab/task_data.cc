#include "lab/task_data.h"

#include <algorithm>

namespace linnet::lab {
namespace {

void Append(const Example& example, Samples& samples) {
  samples.batch.Append(example.tokens, samples.batch.sequences());
  samples.targets.insert(samples.targets.end(), example.targets.begin(), example.targets.end());
}

}  // namespace

std::vector<Samples> HeldOutSamples(const Task& task, Part part, int64_t count, int64_t batch) {
  count = std::min(count, task.held_out());
  std::vector<Samples> passes;
  for (int64_t i = 0; i < count; ++i) {
    if (i % batch == 0) passes.emplace_back();
    Append(task.Draw(part, 0, i * task.held_out() / count), passes.back());
  }
  return passes;
}

TaskData::TaskData(std::shared_ptr<const Task> task, std::vector<std::filesystem::path> files, int64_t batch,
                   uint64_t seed)
    : task_(std::move(task)), files_(std::move(files)), batch_(batch), seed_(seed) {}

std::vector<Samples> TaskData::Draw(int64_t step, DataPosition& /*position*/) const {
  std::vector<Samples> passes(1);
  for (int64_t i = 0; i < batch_; ++i) {
    Append(task_->Draw(Part::kTraining, seed_, step * batch_ + i), passes[0]);
  }
  return passes;
}

std::vector<Samples> TaskData::HeldOut(int64_t max_tokens) const {
  return HeldOutSamples(*task_, Part::kValidation, std::max(kFewest, max_tokens / task_->length()), batch_);
}

std::vector<Dataset::File> TaskData::files() const {
  std::vector<File> files;
  for (const auto& path : files_) {
    if (!std::filesystem::is_regular_file(path)) continue;
    files.push_back(
        {std::filesystem::absolute(path), static_cast<int64_t>(std::filesystem::file_size(path))});
  }
  return files;
}

}  // namespace linnet::lab

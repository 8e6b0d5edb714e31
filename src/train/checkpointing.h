// The folder of a run and the checkpoints in it.
//
//     checkpoint-STEP.trainer.safetensors  moments and counters: all that resuming needs beside the weights;
//                                          written first
//     checkpoint-STEP.ema.safetensors      the average of the weights, where there is one; written second
//     checkpoint-STEP.safetensors          float32 weights under their published names; written last: with it
//                                          the checkpoint is complete
//     model.safetensors                    a link to the newest weights
//     model-ema.safetensors                a link to their average
//     model-best.safetensors               a link to those of the lowest held-out loss
//     train.lock                           locked while a run works here
//
// STEP is the number of steps done. Each file appears complete or not at all, so that a run may be killed at
// any moment. The last two checkpoints are kept, and the file that model-best.safetensors links to.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "formats/safetensors.h"

namespace linnet {

/// The files of one checkpoint.
struct CheckpointFiles {
  int64_t step;
  std::filesystem::path weights, trainer, average;  // average: whether or not there is one
};

/// What goes into a checkpoint. Weights and the trainer's part may lie elsewhere: they are loaded as they are
/// written, the trainer's first.
struct CheckpointParts {
  int64_t step = 0;
  Contents weights, trainer;
  std::vector<NamedTensor> average;  // may be empty; its metadata are those of the weights
  bool best = false;                 // of all so far; of its average, where there is one
};

class RunFolder {
 public:
  enum class Access {
    kWrite,
    kRead,  // beside the process of the same run that writes: only Checkpoints() may be called
  };
  /// Creates the folder and locks it for the lifetime of the object; sweeps up what a killed run left
  /// half-written. Throws Error if it cannot be written to or another run has it locked. With kRead it does
  /// none of these, and throws Error if there is no such folder.
  explicit RunFolder(std::filesystem::path path, Access access = Access::kWrite);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path model() const { return path_ / "model.safetensors"; }
  std::filesystem::path best() const { return path_ / "model-best.safetensors"; }
  /// Complete checkpoints, oldest first.
  std::vector<CheckpointFiles> Checkpoints() const;
  /// Throws Error unless `bytes` more fit on the disk.
  void CheckSpace(uint64_t bytes) const;

  /// Writes a checkpoint, points the links at it and removes all but the last two and the best.
  CheckpointFiles Save(const CheckpointParts& parts);
  /// Points the links at a checkpoint, as Save does: where a run was killed in between, they lag behind.
  void PointAt(const CheckpointFiles& files, bool is_best);
  /// Removes all later checkpoints, for a run that returns to this one; the best model stays.
  void ReturnTo(const CheckpointFiles& files);

 private:
  CheckpointFiles FilesOf(int64_t step) const;
  /// Makes `name` a link to `file`, at once and whatever it was before.
  void Link(const char* name, const std::filesystem::path& file) const;
  void Remove(const CheckpointFiles& files) const;
  void Sweep() const;

  std::filesystem::path path_;
  bool created_ = false;  // by this object
  int lock_ = -1;
};

}  // namespace linnet

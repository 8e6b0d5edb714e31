// The folder of a run and the checkpoints in it.
//
//     checkpoint-STEP.trainer.safetensors  moments and counters: all that resuming needs beside the weights;
//     written first checkpoint-STEP.safetensors          float32 weights under their published names; written
//     second: with it the checkpoint
//                                          is complete
//     model.safetensors                    a link to the newest weights
//     train.lock                           locked while a run works here
//
// STEP is the number of steps done. Each file appears complete or not at all, so that a run may be killed at
// any moment. The last two checkpoints are kept.
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
  std::filesystem::path weights, trainer;
};

class RunFolder {
 public:
  /// Creates the folder and locks it for the lifetime of the object; sweeps up what a killed run left
  /// half-written. Throws Error if it cannot be written to or another run has it locked.
  explicit RunFolder(std::filesystem::path path);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path model() const { return path_ / "model.safetensors"; }
  /// Complete checkpoints, oldest first.
  std::vector<CheckpointFiles> Checkpoints() const;
  /// Throws Error unless `bytes` more fit on the disk.
  void CheckSpace(uint64_t bytes) const;

  using Strings = std::map<std::string, std::string>;
  /// Writes a checkpoint, points model.safetensors at it and removes all but the last two.
  CheckpointFiles Save(int64_t step, const std::vector<NamedTensor>& weights, const Strings& weights_metadata,
                       const std::vector<NamedTensor>& trainer, const Strings& trainer_metadata);

 private:
  CheckpointFiles FilesOf(int64_t step) const;
  void Sweep() const;

  std::filesystem::path path_;
  bool created_ = false;  // by this object
  int lock_ = -1;
};

}  // namespace linnet

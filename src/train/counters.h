// Where a run stands, as the trainer's part of a checkpoint says it in its metadata.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "formats/checkpoint.h"
#include "train/data.h"

namespace linnet {

/// Where a run stands, beside weights and moments.
struct Counters {
  int64_t step = 0;     // the next one
  DataPosition data;    // where it goes on
  int64_t updates = 0;  // steps that were not skipped
  double seconds = 0;
  int threads = 0;         // that computed the last step
  int64_t best_step = -1;  // of the checkpoint with the lowest held-out loss, and that loss
  std::optional<double> best_loss;
};

std::string ToJson(const Counters& c);

/// Metadata `key` of the trainer's part of a checkpoint. Throws Error, naming the file, if there is none.
const std::string& Metadata(const Checkpoint& file, const std::string& key);

/// Throws Error, naming the file, if its counters cannot be read.
Counters ReadCounters(const Checkpoint& trainer);

}  // namespace linnet

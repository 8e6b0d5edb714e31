// Where a run goes whose steps went wrong again and again (train/recovery.h): back to a checkpoint of better
// times or, where that is of no use or there is none, to its end, with a message that says how to go on.
#pragma once

#include <filesystem>
#include <string>

#include "train/checkpointing.h"
#include "train/counters.h"
#include "train/recovery.h"

namespace linnet {

/// A run that had to stop, as its successor needs to know it.
struct Trouble {
  Recovery recovery;
  Counters counters;
  std::string why;  // the last bad step was bad
};

/// What a checkpoint's run knew of bad steps; nothing in those of earlier versions. Throws Error, naming the
/// file, if it cannot be read.
void ReadRecovery(const Checkpoint& trainer, Recovery& recovery);

/// The checkpoint to which a run goes back: the newest good one, after trouble soon after that the one
/// before. Throws Error if there is none, and when the run has gone back often enough.
CheckpointFiles CheckpointToReturnTo(const RunFolder& folder, const Trouble& trouble);

/// Several processes, of the run in `out`, have come to the same end: throws CommonError.
[[noreturn]] void EndTogether(const std::filesystem::path& out, const RunFolder& folder,
                              const Trouble& trouble);

}  // namespace linnet

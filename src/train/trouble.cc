#include "train/trouble.h"

#include <vector>

#include "train/comm.h"

namespace linnet {
namespace {

/// Those whose run was not in trouble, oldest first.
std::vector<CheckpointFiles> GoodCheckpoints(const RunFolder& folder) {
  std::vector<CheckpointFiles> good;
  for (const CheckpointFiles& files : folder.Checkpoints()) {
    Recovery then(0);
    ReadRecovery(*Checkpoint::Open(files.trainer), then);
    if (then.good()) good.push_back(files);
  }
  return good;
}

std::string WhatHappened(const Trouble& trouble) {
  return fmt::format("{} steps in a row were skipped, the last of them {}, as {}", Recovery::kMostBad,
                     trouble.counters.step - 1, trouble.why);
}

}  // namespace

void ReadRecovery(const Checkpoint& trainer, Recovery& recovery) {
  const auto found = trainer.metadata().find("recovery");
  if (found != trainer.metadata().end()) recovery.Restore(found->second, trainer.path().string());
}

CheckpointFiles CheckpointToReturnTo(const RunFolder& folder, const Trouble& trouble) {
  const int again = trouble.recovery.returns_in_a_row();
  const std::string what = WhatHappened(trouble);
  const std::vector<CheckpointFiles> good = GoodCheckpoints(folder);
  Check(!good.empty(), "{}; no checkpoint was saved yet to return to; try a lower --lr", what);
  Check(
      again < Recovery::kMostReturns,
      "{}; the run has returned to a checkpoint {} times and came to the same end with other data; the last "
      "good checkpoint is {}; try a lower --lr, or --spike 0 if its losses are sound",
      what, again, good.back().weights.string());
  return good[good.size() > 1 && again > 0 ? good.size() - 2 : good.size() - 1];
}

[[noreturn]] void EndTogether(const std::filesystem::path& out, const RunFolder& folder,
                              const Trouble& trouble) {
  const std::vector<CheckpointFiles> good = GoodCheckpoints(folder);
  if (good.empty()) {
    throw CommonError(WhatHappened(trouble) +
                      "; no checkpoint was saved yet to go on from; try a lower --lr");
  }
  throw CommonError(fmt::format(
      "{}; the last good checkpoint is {}; several processes do not return to one by themselves, a single "
      "one does: let `linnet train --resume --out {}` go on beyond step {}, stop it and start several again; "
      "or resume with --spike 0 if the losses are sound",
      WhatHappened(trouble), good.back().weights.string(), out.string(), trouble.counters.step - 1));
}

}  // namespace linnet

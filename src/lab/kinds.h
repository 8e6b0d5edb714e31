// The kinds of tasks, by the files that define them; lab/task.cc puts them in one table.
#pragma once

#include "lab/task.h"

namespace linnet::lab {

// lab/copying.cc
TaskKind CopyKind();
TaskKind MemoryKind();
TaskKind SelectiveCopyKind();
TaskKind ReversalKind();
// lab/recall.cc
TaskKind MqarKind();
TaskKind InductionKind();
TaskKind Hs2bKind();
TaskKind AddingKind();
// lab/groups.cc
TaskKind S5Kind();
TaskKind A5Kind();
TaskKind A4Z5Kind();
TaskKind Z60Kind();
TaskKind ParityKind();
// lab/listops.cc
TaskKind ListOpsKind();
// lab/pixels.cc
TaskKind PixelsKind();
TaskKind PermutedPixelsKind();
// lab/text_task.cc
TaskKind TextKind();

}  // namespace linnet::lab

// What a training step computes, and what the machine could: speed is told as the share of the two.
#pragma once

#include "train/weights.h"

namespace linnet {

/// Floating-point operations that training does per token: 6 for each parameter (2 forward, 4 backward), 4
/// for one that stays as it is, but none for those of tables, which are only looked up, and for initial
/// states; and three times the recurrence.
double TrainingFlopsPerToken(const TrainableModel& weights);

/// Operations a second of a large matrix product in this type (f32 or bf16). Takes less than half a second.
double MeasureMatMulPeak(DType type);

}  // namespace linnet

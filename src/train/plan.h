// What a run will take, told before it begins: parameters, memory by kind, operations, time.
//
// What can be measured is measured. Where a step of the whole model fits memory and takes seconds, some are
// run (train/trial.h), with tokens drawn at random. Else smaller models of the same width are: what a step
// keeps and how long it takes is a + b L + S (c + d L) for L layers and S sequences, so four points give all
// of it.
//
// The most memory that is in use at once is reached in a backward pass, which frees activations and makes
// gradients layer by layer, or in the loss:
//     peak = weights + masters + moments + max(forward, one layer's pass + max(kept of others, gradients of
//     others))
//
// Adapters and initial states are planned with the model that they are beside, as it lies in its file, or
// with parts that have random weights of its type; only they have gradients and moments.
#pragma once

#include <cstdint>

#include "train/options.h"

namespace linnet {

struct RunPlan {
  int64_t parameters = 0;
  int64_t trained = 0;  // values that are: of parameters, adapters or initial states
  int64_t tokens_per_step = 0;
  int64_t steps = 0;
  double flops_per_token = 0;  // TrainingFlopsPerToken; what --recompute does again not counted

  struct Memory {  // bytes
    double weights = 0, masters = 0, gradients = 0, moments = 0;
    double activations = 0;  // that a forward pass keeps
    double logits = 0;       // that exist at a time, and what their loss needs beside
    double data = 0;         // of files, which are mapped: the system may drop and read them again
    double peak = 0;         // of all but data, at once
  } memory;
  double available_bytes = 0;

  double step_seconds = 0;   // 0: was not asked for
  double start_seconds = 0;  // to read data, make weights, set up products and take memory for the first step
  double save_seconds = 0;   // a checkpoint
  double run_seconds = 0;    // with the start, checkpoints and the measurements of the loss
  bool whole_model = false;  // was run; else parts of it were

  double flops_per_step() const { return flops_per_token * static_cast<double>(tokens_per_step); }
};

/// Plans a new run; writes nothing. Throws Error where starting the run would.
RunPlan PlanRun(const TrainOptions& options);

/// RunPlan::Memory::peak, from steps of two models of one and two layers.
double EstimatePeakBytes(const TrainOptions& options);

/// Throws Error, with numbers and remedies, if the run would need more memory than there is. Looks closer,
/// which takes a moment, only where that is not out of the question.
void CheckMemory(const TrainOptions& options);

}  // namespace linnet

// linnet train --dry-run: what a run will take.
#pragma once

#include "train/options.h"

namespace linnet {

/// Plans the run and prints the plan, as one JSON object where `json`, a stable contract:
///   {"parameters": n, "tokens_per_step": n, "steps": n, "flops_per_token": x, "flops_per_step": x,
///    "memory": {"weights": bytes, "masters", "gradients", "moments", "activations", "logits", "data",
///    "peak"}, "memory_available": bytes, "step_seconds": x, "run_seconds": x, "whole_model": true}
void PrintPlan(const TrainOptions& options, bool json);

}  // namespace linnet

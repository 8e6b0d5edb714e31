// The learning rate over a run: a linear warmup times half a cosine, as RWKV-LM's trainer (v7) has them.
//
//     f = lr_final / lr                 P = clamp((tokens - warm) / (all tokens - warm), 0, 1)
//     lr(step) = lr ((1 + f) / 2 + (1 - f) / 2 cos(pi P))      times 0.01 + 0.99 step / warmup while step <
//     warmup
//
// The reference counts warmup steps from the last restart; here they count from the start of the run, as a
// resumed run must do what an uninterrupted one does.
#pragma once

#include <cstdint>

namespace linnet {

struct Schedule {
  double lr = 6e-4, lr_final = 6e-5;
  int64_t warmup = 10;         // steps
  double warmup_start = 0.01;  // part of the learning rate that step 0 has; RWKV-4's trainer has 0.2
};

/// P of a run that is to see `all_tokens`.
double TokenProgress(const Schedule& schedule, int64_t step, int64_t tokens_per_step, int64_t all_tokens);

/// The learning rate of `step`, counted from 0, where the run has come to `progress` in [0, 1].
double LearningRate(const Schedule& schedule, int64_t step, double progress);

}  // namespace linnet

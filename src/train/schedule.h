// The learning rate over a run: a linear warmup times one of three shapes.
//
//     P = clamp((tokens - warm) / (all tokens - warm), 0, 1)       f = lr_final / lr
//     cosine      lr ((1 + f) / 2 + (1 - f) / 2 cos(pi P)), as RWKV-LM's trainer (v7) has it
//     wsd         lr until P = 1 - d, then, with t = (P - (1 - d)) / d, from lr to lr_final:
//                 by t (linear) or by sqrt(t), which falls fast and then slowly (1-sqrt)
//     constant    lr
//
// all of them times 0.01 + 0.99 step / warmup while step < warmup. Warmup, stable phase and decay: Hu et al.,
// "MiniCPM" (2024); 1-sqrt: Hägele et al., "Scaling laws and compute-optimal training beyond fixed training
// durations" (2024), who found it the best of these shapes with a fifth of the run for the decay.
//
// The reference counts warmup steps from the last restart; here they count from the start of the run, as a
// resumed run must do what an uninterrupted one does.
#pragma once

#include <cstdint>
#include <string_view>

namespace linnet {

enum class ScheduleShape { kCosine, kWsd, kConstant };
enum class DecayShape { kLinear, kSqrt };

/// "cosine", "wsd", "constant". Throws Error naming --schedule.
ScheduleShape ParseScheduleShape(std::string_view name);
/// "linear", "sqrt". Throws Error naming --decay-shape.
DecayShape ParseDecayShape(std::string_view name);

struct Schedule {
  double lr = 6e-4, lr_final = 6e-5;
  int64_t warmup = 10;         // steps
  double warmup_start = 0.01;  // part of the learning rate that step 0 has; RWKV-4's trainer has 0.2
  ScheduleShape shape = ScheduleShape::kCosine;
  double decay_fraction = 0.2;  // of what follows the warmup, at its end (wsd)
  DecayShape decay_shape = DecayShape::kSqrt;
};

/// P of a run that is to see `all_tokens`.
double TokenProgress(const Schedule& schedule, int64_t step, int64_t tokens_per_step, int64_t all_tokens);

/// The learning rate of `step`, counted from 0, where the run has come to `progress` in [0, 1].
double LearningRate(const Schedule& schedule, int64_t step, double progress);

}  // namespace linnet

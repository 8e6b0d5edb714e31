#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace linnet {

double TokenProgress(const Schedule& schedule, int64_t step, int64_t tokens_per_step, int64_t all_tokens) {
  const auto tokens = static_cast<double>(step) * static_cast<double>(tokens_per_step);
  const auto warm = static_cast<double>(schedule.warmup) * static_cast<double>(tokens_per_step);
  const double rest = static_cast<double>(all_tokens) - warm;
  if (rest <= 0) return 0;  // the whole run is warmup
  return std::clamp((tokens - warm) / rest, 0.0, 1.0);
}

double LearningRate(const Schedule& schedule, int64_t step, double progress) {
  const double f = schedule.lr_final / schedule.lr;
  const double lr = schedule.lr * ((1 + f) / 2 + (1 - f) / 2 * std::cos(std::numbers::pi * progress));
  if (step >= schedule.warmup) return lr;
  return lr * (schedule.warmup_start + (1 - schedule.warmup_start) * static_cast<double>(step) /
                                           static_cast<double>(schedule.warmup));
}

}  // namespace linnet

#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"

namespace linnet {
namespace {

double WarmLearningRate(const Schedule& s, double progress) {
  const double f = s.lr_final / s.lr, begin = 1 - s.decay_fraction;
  switch (s.shape) {
    case ScheduleShape::kCosine:
      return s.lr * ((1 + f) / 2 + (1 - f) / 2 * std::cos(std::numbers::pi * progress));
    case ScheduleShape::kWsd: {
      if (progress <= begin) return s.lr;
      const double t = (progress - begin) / s.decay_fraction;
      return s.lr + (s.lr_final - s.lr) * (s.decay_shape == DecayShape::kSqrt ? std::sqrt(t) : t);
    }
    case ScheduleShape::kConstant:
      break;
  }
  return s.lr;
}

}  // namespace

ScheduleShape ParseScheduleShape(std::string_view name) {
  if (name == "cosine") return ScheduleShape::kCosine;
  if (name == "wsd") return ScheduleShape::kWsd;
  Check(name == "constant", "--schedule must be cosine, wsd or constant but is '{}'", name);
  return ScheduleShape::kConstant;
}

DecayShape ParseDecayShape(std::string_view name) {
  if (name == "linear") return DecayShape::kLinear;
  Check(name == "sqrt", "--decay-shape must be linear or sqrt but is '{}'", name);
  return DecayShape::kSqrt;
}

double TokenProgress(const Schedule& schedule, int64_t step, int64_t tokens_per_step, int64_t all_tokens) {
  const auto tokens = static_cast<double>(step) * static_cast<double>(tokens_per_step);
  const auto warm = static_cast<double>(schedule.warmup) * static_cast<double>(tokens_per_step);
  const double rest = static_cast<double>(all_tokens) - warm;
  if (rest <= 0) return 0;  // the whole run is warmup
  return std::clamp((tokens - warm) / rest, 0.0, 1.0);
}

double LearningRate(const Schedule& schedule, int64_t step, double progress) {
  const double lr = WarmLearningRate(schedule, progress);
  if (step >= schedule.warmup) return lr;
  return lr * (schedule.warmup_start + (1 - schedule.warmup_start) * static_cast<double>(step) /
                                           static_cast<double>(schedule.warmup));
}

}  // namespace linnet

#include "train/recovery.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/check.h"

namespace linnet {
namespace {

using nlohmann::json;

constexpr int64_t kEnough = 50;  // numbers, for a mean that means something
constexpr double kShare = 0.02;  // of a new number in the mean

json Pack(const RunningMoments& m) { return {m.mean, m.variance, m.count}; }

RunningMoments Unpack(const json& packed) { return {packed.at(0), packed.at(1), packed.at(2)}; }

}  // namespace

void RunningMoments::Add(double x) {
  const double share = std::max(kShare, 1 / static_cast<double>(++count)), distance = x - mean;
  mean += share * distance;
  variance = (1 - share) * (variance + share * distance * distance);
}

double RunningMoments::Limit(double k, double least) const {
  if (count < kEnough) return std::numeric_limits<double>::infinity();
  return mean + k * std::max(std::sqrt(variance), least);
}

StepLimits Recovery::limits() const {
  if (deviations_ == 0) return {};
  return {loss_.Limit(deviations_, std::abs(loss_.mean) / 50), std::exp(log_norm_.Limit(deviations_, 0.2))};
}

void Recovery::Count(int64_t step, double loss, double gradient_norm, bool bad) {
  const StepLimits limit = limits();
  if (std::isfinite(loss)) loss_.Add(std::min(loss, limit.loss));
  if (std::isfinite(gradient_norm) && gradient_norm > 0) {
    log_norm_.Add(std::log(std::min(gradient_norm, limit.gradient_norm)));
  }
  bad_in_a_row_ = bad ? bad_in_a_row_ + 1 : 0;
  if (bad) last_bad_step_ = std::max(last_bad_step_, step);
  if (!bad && step > last_bad_step_ + kCalm) returns_in_a_row_ = 0;
}

void Recovery::ReturnFrom(const Recovery& before) {
  returns_ = before.returns_ + 1;
  returns_in_a_row_ = before.returns_in_a_row_ + 1;
  last_bad_step_ = before.last_bad_step_;
  bad_in_a_row_ = 0;
}

std::string Recovery::ToJson() const {
  return json{
      {"loss", Pack(loss_)}, {"log_norm", Pack(log_norm_)},           {"bad_in_a_row", bad_in_a_row_},
      {"returns", returns_}, {"returns_in_a_row", returns_in_a_row_}, {"last_bad_step", last_bad_step_}}
      .dump();
}

void Recovery::Restore(const std::string& text, const std::string& where) {
  try {
    const json saved = json::parse(text);
    loss_ = Unpack(saved.at("loss"));
    log_norm_ = Unpack(saved.at("log_norm"));
    bad_in_a_row_ = saved.at("bad_in_a_row");
    returns_ = saved.at("returns");
    returns_in_a_row_ = saved.at("returns_in_a_row");
    last_bad_step_ = saved.at("last_bad_step");
  } catch (const json::exception&) {
    Fail("{}: what its run knew of bad steps cannot be read", where);
  }
}

std::string WhatWasBad(double loss, double gradient_norm, const StepLimits& limits, double deviations) {
  if (!std::isfinite(loss)) return "the loss is not a finite number";
  if (!std::isfinite(gradient_norm)) return "the gradient is not a finite number";
  const bool of_loss = loss > limits.loss;
  return fmt::format("the {} {:.4g} is above {:.4g} (--spike {:g})", of_loss ? "loss" : "gradient norm",
                     of_loss ? loss : gradient_norm, of_loss ? limits.loss : limits.gradient_norm,
                     deviations);
}

}  // namespace linnet

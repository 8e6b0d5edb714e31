#include "train/groups.h"

#include <algorithm>

#include "base/check.h"

namespace linnet {
namespace {

/// Of the names in RWKV-4 to 6 that stage 2 speeds up; their low-rank factors (time_maa_w1) stay behind.
bool LearnsFastInStage2(std::string_view name) {
  if (name.ends_with("_w1") || name.ends_with("_w2")) return false;
  return std::ranges::any_of(
      std::initializer_list<std::string_view>{"time_mix", "time_maa", "time_decay", "time_faaaa",
                                              "time_first"},
      [&](std::string_view part) { return name.find(part) != std::string_view::npos; });
}

}  // namespace

TrainingDefaults DefaultsOf(std::string_view architecture) {
  if (architecture == "rwkv4") return {.eps = 1e-8, .warmup_start = 0.2};
  if (!architecture.starts_with("rwkv7")) return {.eps = 1e-8};
  return {};
}

Layerwise ParseLayerwise(std::string_view name) {
  if (name == "off") return Layerwise::kOff;
  if (name == "stage2") return Layerwise::kStage2;
  Check(name == "on", "--layerwise must be on, off or stage2 but is '{}'", name);
  return Layerwise::kOn;
}

void CheckLayerwise(Layerwise layerwise, std::span<const Parameter> parameters) {
  const bool any =
      std::ranges::any_of(parameters, [](const Parameter& p) { return LearnsFastInStage2(p.name); });
  Check(layerwise != Layerwise::kStage2 || any,
        "--layerwise stage2 is for rwkv4, rwkv5 and rwkv6, whose parameters it names; leave it out");
}

double LearningRateScale(const Parameter& parameter, Layerwise layerwise) {
  if (layerwise == Layerwise::kOff) return 1;
  if (layerwise == Layerwise::kStage2 && LearnsFastInStage2(parameter.name)) return 5;
  return parameter.lr_scale;
}

bool Decays(const Parameter& parameter) { return parameter.role == Role::kMatrix; }

std::vector<ParameterGroup> Groups(std::span<const Parameter> parameters, Layerwise layerwise) {
  std::vector<ParameterGroup> groups;
  for (const Parameter& p : parameters) {
    const double scale = LearningRateScale(p, layerwise);
    auto group = std::ranges::find_if(
        groups, [&](const ParameterGroup& g) { return g.lr_scale == scale && g.decays == Decays(p); });
    if (group == groups.end()) group = groups.insert(group, {scale, Decays(p), {}});
    group->names.push_back(p.name);
  }
  return groups;
}

}  // namespace linnet

// The sampler's settings that are numbers, by name: flags, the chat's /set, and the fields of requests.
#pragma once

#include <span>
#include <variant>

#include "infer/sampler.h"

namespace linnet {

struct SamplerSetting {
  const char* name;  // "top-p"
  std::variant<double SamplerOptions::*, int SamplerOptions::*> member;
  double lowest, highest;
  const char* help;
};

std::span<const SamplerSetting> SamplerSettings();

}  // namespace linnet

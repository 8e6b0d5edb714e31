// Groups of parameters, as RWKV-LM's trainers make them: which ones decay, and which learn faster.
//
//     group of                                     rate   decay
//     matrices (emb, head, the weights of Linear)  1      yes
//     RWKV-7: att.w0                               2      no
//     RWKV-4 to 6: time_decay                      2      no      5 in stage 2
//     RWKV-4, 5.0: time_first                      3      no      5 in stage 2
//     RWKV-4 to 6: time_mix, time_maa, time_faaaa  1      no      5 in stage 2
//     all else, low-rank factors among it          1      no
//
// The rate of a parameter is Parameter::lr_scale, which its module sets. Stage 2 is RWKV-LM's --my_pile_stage
// 2 (RWKV-v4neo and RWKV-v5, src/model.py): going on with a model at a low rate, where the parameters of the
// time mix should still move. RWKV-7's trainer has no such stage.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nn/params.h"

namespace linnet {

/// Settings of the optimizer in which the trainers of the references differ.
struct TrainingDefaults {
  double eps = 1e-18;          // AdamW's
  double warmup_start = 0.01;  // part of the learning rate at step 0
};
TrainingDefaults DefaultsOf(std::string_view architecture);

enum class Layerwise { kOff, kOn, kStage2 };

/// "off", "on", "stage2". Throws Error naming --layerwise.
Layerwise ParseLayerwise(std::string_view name);

/// Throws Error if this is stage 2 and none of the parameters has a rate of its own there.
void CheckLayerwise(Layerwise layerwise, std::span<const Parameter> parameters);

/// What the learning rate is multiplied with for this parameter.
double LearningRateScale(const Parameter& parameter, Layerwise layerwise);
/// Whether weight decay pulls it towards 0.
bool Decays(const Parameter& parameter);

/// Parameters that the optimizer treats alike.
struct ParameterGroup {
  double lr_scale;
  bool decays;
  std::vector<std::string> names;
};
std::vector<ParameterGroup> Groups(std::span<const Parameter> parameters, Layerwise layerwise);

}  // namespace linnet

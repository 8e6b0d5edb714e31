#include "cli/train_plan.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/terminal.h"
#include "train/plan.h"

namespace linnet {
namespace {

std::string Bytes(double bytes) {
  if (bytes >= 1e9) return fmt::format("{:.2f} GB", bytes / 1e9);
  if (bytes >= 1e6) return fmt::format("{:.1f} MB", bytes / 1e6);
  return fmt::format("{:.1f} kB", bytes / 1e3);
}

/// 1.5e9 -> "1.5 G"
std::string Operations(double count) {
  constexpr const char* kPrefixes[] = {"", " k", " M", " G", " T", " P", " E"};
  size_t prefix = 0;
  for (; count >= 1000 && prefix + 1 < std::size(kPrefixes); ++prefix) count /= 1000;
  return fmt::format("{:.3g}{}", count, kPrefixes[prefix]);
}

std::string Seconds(double seconds) {
  return seconds < 10 ? fmt::format("{:.3g} s", seconds) : ClockTime(seconds);
}

void PrintJson(const RunPlan& plan) {
  const RunPlan::Memory& m = plan.memory;
  const auto whole = [](double bytes) { return std::llround(bytes); };
  const nlohmann::ordered_json object = {{"parameters", plan.parameters},
                                         {"trained", plan.trained},
                                         {"tokens_per_step", plan.tokens_per_step},
                                         {"steps", plan.steps},
                                         {"flops_per_token", plan.flops_per_token},
                                         {"flops_per_step", plan.flops_per_step()},
                                         {"memory",
                                          {{"weights", whole(m.weights)},
                                           {"masters", whole(m.masters)},
                                           {"gradients", whole(m.gradients)},
                                           {"moments", whole(m.moments)},
                                           {"activations", whole(m.activations)},
                                           {"logits", whole(m.logits)},
                                           {"data", whole(m.data)},
                                           {"peak", whole(m.peak)}}},
                                         {"memory_available", whole(plan.available_bytes)},
                                         {"step_seconds", plan.step_seconds},
                                         {"start_seconds", plan.start_seconds},
                                         {"save_seconds", plan.save_seconds},
                                         {"run_seconds", plan.run_seconds},
                                         {"whole_model", plan.whole_model}};
  fmt::print("{}\n", object.dump());
}

void PrintTable(const RunPlan& plan) {
  const RunPlan::Memory& m = plan.memory;
  PrintLabelled({
      {"parameters",
       WithCommas(plan.parameters) + (plan.trained == plan.parameters
                                          ? ""
                                          : fmt::format(", and {} are trained", WithCommas(plan.trained)))},
      {"a step", fmt::format("{} tokens, {}FLOP ({}FLOP a token)", WithCommas(plan.tokens_per_step),
                             Operations(plan.flops_per_step()), Operations(plan.flops_per_token))},
      {"weights", Bytes(m.weights)},
      {"masters", m.masters > 0 ? Bytes(m.masters) + ", float32" : "none, what is trained is float32"},
      {"moments", Bytes(m.moments)},
      {"gradients", Bytes(m.gradients)},
      {"activations", Bytes(m.activations) + ", given back as gradients come"},
      {"logits", Bytes(m.logits) + ", a part of the rows at a time"},
      {"at once", fmt::format("{} of the {} that are available{}", Bytes(m.peak), Bytes(plan.available_bytes),
                              m.peak > plan.available_bytes ? ": too much" : "")},
      {"data", Bytes(m.data) + " of files, read through the system's cache"},
      {"time", fmt::format("{} a step, {:.0f} tokens/s", Seconds(plan.step_seconds),
                           static_cast<double>(plan.tokens_per_step) / plan.step_seconds)},
      {"beside",
       fmt::format("{} to start, {} a checkpoint", Seconds(plan.start_seconds), Seconds(plan.save_seconds))},
      {"the run", fmt::format("{} steps, {}", WithCommas(plan.steps), Seconds(plan.run_seconds))},
  });
  fmt::print("\nmeasured with {}; nothing was written\n",
             plan.whole_model ? "steps of the whole model" : "smaller models of the same width");
}

}  // namespace

void PrintPlan(const TrainOptions& options, bool json) {
  const RunPlan plan = PlanRun(options);
  if (json) {
    PrintJson(plan);
  } else {
    PrintTable(plan);
  }
}

}  // namespace linnet

// How well `linnet train --dry-run` foretells: for several models, memory and time as planned and as they
// then were, in turns. "..._planned" are shares of what was measured, "peak_planned_of_parts" of what steps
// of two small models say alone.
//
//   plan_bench TEXT [steps]
#include <chrono>
#include <cstdio>
#include <filesystem>

#include "bench/measure.h"
#include "tensor/memory.h"
#include "train/plan.h"
#include "train/speed.h"
#include "train/trainer.h"

namespace linnet::bench {
namespace {

struct Case {
  const char *name, *arch, *precision;
  int64_t layers, width, vocab, ctx, batch, accumulate;
  bool recompute;
};

constexpr Case kCases[] = {
    {"narrow", "rwkv7", "fp32", 4, 128, 0, 128, 8, 1, false},
    {"default", "rwkv7", "fp32", 4, 256, 0, 256, 4, 1, false},
    {"default, bf16", "rwkv7", "bf16", 4, 256, 0, 256, 4, 1, false},
    {"accumulated", "rwkv7", "bf16", 4, 256, 0, 256, 4, 4, false},
    {"long", "rwkv7", "bf16", 3, 256, 0, 2048, 2, 1, false},
    {"run again", "rwkv7", "bf16", 6, 256, 0, 512, 4, 1, true},
    {"wide", "rwkv7", "bf16", 3, 768, 0, 256, 4, 1, false},
    {"large vocabulary", "rwkv7", "bf16", 2, 256, 65536, 128, 4, 1, false},
    {"rwkv4", "rwkv4", "fp32", 4, 256, 0, 256, 4, 1, false},
    {"rwkv6", "rwkv6", "bf16", 4, 256, 0, 256, 4, 1, false},
};

TrainOptions OptionsOf(const Case& c, const std::string& text, int64_t steps) {
  TrainOptions o;
  o.arch = c.arch, o.precision = c.precision;
  o.layers = c.layers, o.width = c.width, o.vocab = c.vocab;
  o.ctx = c.ctx, o.batch = c.batch, o.accumulate = c.accumulate, o.recompute = c.recompute;
  o.data = {text};
  o.steps = steps;
  o.out = std::filesystem::temp_directory_path() / fmt::format("linnet-plan-{}", getpid());
  return o;
}

class Watch : public TrainObserver {
 public:
  void Started(const RunFacts& run) override {
    MeasureMatMulPeak(run.options->precision == "bf16" ? DType::kBf16 : DType::kF32);  // as the command does
    tokens_per_step = static_cast<double>(run.options->tokens_per_step());
    ResetHostMemoryPeak();
  }
  void StepDone(const StepRecord& record, const Progress&) override {
    if (record.step > 0) steps.push_back(tokens_per_step / record.tokens_per_s);
  }
  std::vector<double> steps;
  double tokens_per_step = 0;
};

nlohmann::json Measure(const Case& c, const std::string& text, int64_t steps) {
  const TrainOptions options = OptionsOf(c, text, steps);
  const double parts = EstimatePeakBytes(options);
  const RunPlan plan = PlanRun(options);
  const auto before = static_cast<double>(HostMemoryUse().in_use_bytes);
  Watch watch;
  // With the start and the measurement at the end, which the log's clock leaves out.
  const double seconds = Seconds([&] { Train(options, watch); });
  std::filesystem::remove_all(options.out);
  const double peak = static_cast<double>(HostMemoryUse().peak_bytes) - before, step = Median(watch.steps);
  return {{"model", c.name},
          {"whole_model", plan.whole_model},
          {"peak_mb", peak / 1e6},
          {"peak_planned", plan.memory.peak / peak},
          {"peak_planned_of_parts", parts / peak},
          {"step_seconds", step},
          {"step_planned", plan.step_seconds / step},
          {"run_seconds", seconds},
          {"run_planned", plan.run_seconds / seconds}};
}

}  // namespace
}  // namespace linnet::bench

int main(int argc, char** argv) {
  linnet::WaitShortly(argv);
  using namespace linnet::bench;
  try {
    linnet::Check(argc >= 2, "usage: plan_bench TEXT [steps]");
    const int64_t steps = argc > 2 ? std::stoll(argv[2]) : 30;
    nlohmann::json report{{"machine", Machine()}, {"steps", steps}, {"runs", nlohmann::json::array()}};
    for (const Case& c : kCases) report["runs"].push_back(Measure(c, argv[1], steps));
    std::puts(report.dump(2).c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "plan_bench: %s\n", error.what());
    return 1;
  }
}

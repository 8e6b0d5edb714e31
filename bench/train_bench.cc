// Training speed and memory: steps of the given model as the trainer does them, in fp32 and bf16, as a share
// of the GEMM peak measured between the steps; the share of a step that RWKV-7's kernel takes, forward and
// backward; and the resident memory at its highest, by what is known of it.
//
//   train_bench [--arch rwkv7] [--layers 4] [--width 256] [--vocab 256] [--ctx 512] [--batch 4]
//   [--chunk 0] [--backprop exact|truncated] [--recompute] [--precision fp32|bf16] [--rounds 15] [--warmup 2]
//
// Model operations are counted as 6 per parameter and token (the embedding table, which is only read, left
// out) plus three times those of the recurrence, whatever is computed twice.
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>

#include "bench/measure.h"
#include "bench/training_step.h"

namespace linnet::bench {
namespace {

struct Options {
  std::string arch = "rwkv7", backprop = "exact";
  std::map<std::string, int64_t> number{{"--layers", 4}, {"--width", 256}, {"--vocab", 256}, {"--ctx", 512},
                                        {"--batch", 4},  {"--chunk", 0},   {"--rounds", 15}, {"--warmup", 2}};
  bool recompute = false;
  std::vector<std::string> precisions{"fp32", "bf16"};

  int64_t operator[](const char* name) const { return number.at(std::string("--") + name); }
};

Options Parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--recompute") {
      o.recompute = true;
      continue;
    }
    Check(i + 1 < argc, "{} needs a value", flag);
    const std::string value = argv[++i];
    if (flag == "--arch") {
      o.arch = value;
    } else if (flag == "--backprop") {
      o.backprop = value;
    } else if (flag == "--precision") {
      o.precisions = {value};
    } else {
      Check(o.number.contains(flag), "unknown flag {}", flag);
      o.number[flag] = std::stoll(value);
    }
  }
  return o;
}

/// A model with random weights: those that a run begins with would take minutes to draw.
TrainingStep StepOf(const Options& o, DType type) {
  const Architecture& architecture = FindArchitecture(o.arch);
  const Sizes sizes =
      architecture.complete_sizes({{"layers", o["layers"]}, {"width", o["width"]}, {"vocab", o["vocab"]}});
  return {NewModel(architecture, sizes, RandomMatrices{type}),
          {o["batch"], o["ctx"], {o["chunk"], o.backprop == "truncated"}, o.recompute}};
}

/// Weights with their masters, gradients, moments: what a step needs whatever its size.
size_t KnownBytes(const TrainableModel& weights) {
  size_t bytes = 0;
  for (size_t i = 0; i < weights.masters.size(); ++i) {
    const Tensor &tensor = weights.parameters()[i].tensor, &master = weights.masters[i];
    const size_t gradient_and_moments = 3 * sizeof(float) * static_cast<size_t>(tensor.size());
    bytes += tensor.bytes() + (master ? master.bytes() : 0) + gradient_and_moments;
  }
  return bytes;
}

/// The WKV-7 kernel of one layer, alone.
class Kernel {
 public:
  Kernel(const Options& o, const Sequences& sequences)
      : sequences_(sequences), heads_(static_cast<int>(o["width"] / 64)) {
    const Shape shape{sequences.start.back(), o["width"]};
    const auto input = [&](uint64_t seed, float scale) { return RandomTensor(shape, seed, scale); };
    in_ = {input(1, 1), input(2, 4), input(3, 1), input(4, 1), input(5, 0.1f), input(6, 0.1f)};
    const auto empty = [&] { return Tensor::Empty(shape); };
    gradients_ = {empty(), empty(), empty(), empty(), empty(), empty()};
    y_ = input(7, 1);
    const Tensor zeros = Tensor::Zeros({o["batch"], heads_, 64, 64});
    state_ = {zeros, Tensor::Zeros(zeros.shape())};
    saved_ = {Tensor::Empty({backend_.Wkv7Snapshots(sequences_), heads_, 64, 64}), empty()};
  }
  void Forward() const { backend_.Wkv7Forward(in_, sequences_, heads_, state_, y_, saved_); }
  void Backward() const { backend_.Wkv7Backward(in_, saved_, sequences_, heads_, y_, {}, gradients_, {}); }

 private:
  Backend& backend_ = Backend::For(Device::kCpu);
  Sequences sequences_;
  int heads_;
  Wkv7Inputs in_, gradients_;
  Tensor y_;
  StateRef state_;
  Wkv7Saved saved_;
};

/// Shares of `step_seconds` that the kernel of all layers takes.
nlohmann::json KernelShares(const Options& o, const Batch& batch, double step_seconds) {
  const Kernel kernel(o, batch);
  std::vector<double> forward, backward;
  for (int round = -1; round < 5; ++round) {
    const double f = Seconds([&] { kernel.Forward(); }), b = Seconds([&] { kernel.Backward(); });
    if (round < 0) continue;  // page faults of the first touch
    forward.push_back(f);
    backward.push_back(b);
  }
  const double layers = static_cast<double>(o["layers"]);
  return {{"forward", layers * Median(forward) / step_seconds},
          {"backward", layers * Median(backward) / step_seconds}};
}

nlohmann::json Measure(const Options& o, const std::string& precision) {
  const bool bf16 = precision == "bf16";
  const auto peak = [&] { return GemmPeak(bf16 ? DType::kBf16 : DType::kF32); };
  TrainingStep step = StepOf(o, bf16 ? DType::kBf16 : DType::kF32);
  std::vector<double> times, peaks, fractions;
  const size_t to_build = PeakResidentBytes();
  TrimHostMemory();
  ResetPeakResidentBytes();
  // The first rounds set up products and fill the memory pool.
  for (int64_t round = -o["warmup"]; round < o["rounds"]; ++round) {
    const double before = peak(), seconds = Seconds([&] { step.Run(); }), after = peak();
    if (round < 0) continue;
    times.push_back(seconds);
    peaks.push_back((before + after) / 2);
    fractions.push_back(step.Flops() / seconds / peaks.back());
  }
  const auto mb = [](size_t bytes) { return static_cast<double>(bytes) / 1e6; };
  const size_t most = PeakResidentBytes(), known = KnownBytes(step.weights());
  const double seconds = Median(times);
  nlohmann::json report{{"parameters", step.parameters()},
                        {"tokens_per_step", step.tokens()},
                        {"tokens_per_s", step.tokens() / seconds},
                        {"gemm_peak_gflops", Median(peaks) / 1e9},
                        {"model_gflops", step.Flops() / seconds / 1e9},
                        {"fraction_of_gemm_peak", Median(fractions)},
                        {"memory_mb",
                         {{"most_resident", mb(most)},
                          {"weights_gradients_moments", mb(known)},
                          {"beyond_these", mb(most - std::min(most, known))},
                          {"to_build_the_model", mb(to_build)}}}};
  if (o.arch == "rwkv7" && o["chunk"] == 0) {
    report["wkv7_share"] = KernelShares(o, step.batch(), seconds);
  }
  return report;
}

}  // namespace
}  // namespace linnet::bench

int main(int argc, char** argv) {
  linnet::WaitShortly(argv);
  using namespace linnet::bench;
  try {
    const Options o = Parse(argc, argv);
    nlohmann::json report{
        {"machine", Machine()}, {"arch", o.arch}, {"recompute", o.recompute}, {"backprop", o.backprop}};
    for (const auto& [flag, value] : o.number) report[flag.substr(2)] = value;
    for (const std::string& precision : o.precisions) report[precision] = Measure(o, precision);
    std::puts(report.dump(2).c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "train_bench: %s\n", error.what());
    return 1;
  }
}

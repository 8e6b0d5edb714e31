// Training speed: a step of the given model in fp32 and bf16, as a share of the GEMM peak measured between
// the steps, with the share of the step that the WKV-7 kernel takes forward and backward.
//
//   train_bench [--layers 4] [--width 256] [--ctx 512] [--batch 4] [--rounds 15] [--precision bf16]
//   [--recompute]
//
// Model operations are counted as 6 per parameter and token (the embedding table, which is only read, left
// out) plus three times those of the recurrence.
#include <cstdio>
#include <cstring>
#include <functional>

#include "bench/measure.h"
#include "nn/model.h"
#include "ops/ops.h"

namespace linnet::bench {
namespace {

struct Options {
  Dim layers = 4, width = 256, ctx = 512, batch = 4;
  int rounds = 15;
  bool recompute = false;
  std::vector<std::string> precisions{"fp32", "bf16"};
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
    if (flag == "--layers")
      o.layers = std::stoi(value);
    else if (flag == "--width")
      o.width = std::stoi(value);
    else if (flag == "--ctx")
      o.ctx = std::stoi(value);
    else if (flag == "--batch")
      o.batch = std::stoi(value);
    else if (flag == "--rounds")
      o.rounds = std::stoi(value);
    else if (flag == "--precision")
      o.precisions = {value};
    else
      Fail("unknown flag {}", flag);
  }
  return o;
}

/// A step of training as the trainer does it, with the optimizer.
class Step {
 public:
  Step(const Options& o, MatrixType matrices)
      : model_(NewModel(FindArchitecture("rwkv7"),
                        FindArchitecture("rwkv7").complete_sizes(
                            {{"layers", o.layers}, {"width", o.width}, {"vocab", 256}}),
                        1, matrices)),
        state_(model_.NewState(static_cast<int>(o.batch), State::Mode::kKeepInitial)) {
    for (const Parameter& p : model_.params->parameters()) {
      p.tensor.Track();
      const auto zeros = [&] { return Tensor::Zeros(p.tensor.shape()); };
      const bool mixed = p.tensor.dtype() != DType::kF32;
      items_.push_back({p.tensor,
                        mixed ? RandomTensor(p.tensor.shape(), 5, 0.05f) : Tensor(),
                        {},
                        zeros(),
                        zeros(),
                        1e-4f,
                        p.role == Role::kMatrix ? 0.1f : 0.0f});
    }
    for (int s = 0; s < o.batch; ++s) {
      std::vector<int> tokens;
      for (Dim t = 0; t < o.ctx; ++t) tokens.push_back(static_cast<int>((t * 37 + s * 11) % 251));
      batch_.Append(tokens, s);
      targets_.insert(targets_.end(), tokens.begin(), tokens.end());
    }
    batch_.recompute = o.recompute;
  }

  void Run() {
    {
      Tape tape;
      tape.Backward(
          ops::CrossEntropy(model_.model->Hidden(batch_, state_), model_.model->head(), targets_, {1e-4f}));
    }
    std::vector<Tensor> gradients;
    for (AdamWItem& item : items_) {
      item.gradient = item.parameter.grad();
      gradients.push_back(item.gradient);
    }
    Backend& backend = Backend::For(Device::kCpu);
    norm_ = backend.SumSquares(gradients);
    gradients.clear();
    backend.AdamW(items_, {});
    for (AdamWItem& item : items_) {
      item.gradient = {};
      item.parameter.ClearGrad();
    }
  }

  Dim parameters() const { return model_.params->count(); }
  double Flops() const {
    const double tokens = static_cast<double>(batch_.tokens.size());
    const double weights =
        static_cast<double>(parameters() - model_.sizes.at("vocab") * model_.sizes.at("width"));
    return tokens * (6 * weights + 3 * model_.architecture->recurrence_flops(model_.sizes));
  }
  double tokens() const { return static_cast<double>(batch_.tokens.size()); }
  const Batch& batch() const { return batch_; }

 private:
  LoadedModel model_;
  State state_;
  Batch batch_;
  std::vector<int> targets_;
  std::vector<AdamWItem> items_;
  double norm_ = 0;
};

/// The WKV-7 kernel of one layer, alone.
class Kernel {
 public:
  Kernel(const Options& o, const Sequences& sequences)
      : sequences_(sequences), heads_(static_cast<int>(o.width / 64)) {
    const Shape shape{o.ctx * o.batch, o.width};
    const auto input = [&](uint64_t seed, float scale) { return RandomTensor(shape, seed, scale); };
    in_ = {input(1, 1), input(2, 4), input(3, 1), input(4, 1), input(5, 0.1f), input(6, 0.1f)};
    const auto empty = [&] { return Tensor::Empty(shape); };
    gradients_ = {empty(), empty(), empty(), empty(), empty(), empty()};
    y_ = input(7, 1);
    const Tensor zeros = Tensor::Zeros({o.batch, heads_, 64, 64});
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

nlohmann::json Measure(const Options& o, const std::string& precision) {
  const bool bf16 = precision == "bf16";
  const auto peak = [&] { return GemmPeak(bf16 ? DType::kBf16 : DType::kF32); };
  Step step(o, bf16 ? MatrixType::kBf16 : MatrixType::kF32);
  const Kernel kernel(o, step.batch());
  const double layers = static_cast<double>(o.layers);
  std::vector<double> speeds, peaks, fractions, forward, backward;
  for (int round = -2; round < o.rounds; ++round) {
    const double before = peak(), seconds = Seconds([&] { step.Run(); }), after = peak();
    const double f = Seconds([&] { kernel.Forward(); }), b = Seconds([&] { kernel.Backward(); });
    if (round < 0) continue;  // the first rounds set up products and fill the memory pool
    speeds.push_back(step.tokens() / seconds);
    peaks.push_back((before + after) / 2);
    fractions.push_back(step.Flops() / seconds / peaks.back());
    forward.push_back(layers * f / seconds);
    backward.push_back(layers * b / seconds);
  }
  return {{"parameters", step.parameters()},
          {"tokens_per_step", step.tokens()},
          {"tokens_per_s", Median(speeds)},
          {"gemm_peak_gflops", Median(peaks) / 1e9},
          {"model_gflops", Median(speeds) * step.Flops() / step.tokens() / 1e9},
          {"fraction_of_gemm_peak", Median(fractions)},
          {"wkv7_forward_share", Median(forward)},
          {"wkv7_backward_share", Median(backward)}};
}

}  // namespace
}  // namespace linnet::bench

int main(int argc, char** argv) {
  linnet::WaitShortly(argv);
  using namespace linnet::bench;
  try {
    const Options o = Parse(argc, argv);
    nlohmann::json report{{"machine", Machine()}, {"layers", o.layers}, {"width", o.width},
                          {"ctx", o.ctx},         {"batch", o.batch},   {"recompute", o.recompute},
                          {"rounds", o.rounds}};
    for (const std::string& precision : o.precisions) report[precision] = Measure(o, precision);
    std::puts(report.dump(2).c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "train_bench: %s\n", error.what());
    return 1;
  }
}

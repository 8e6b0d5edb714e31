#include "train/trial.h"

#include <algorithm>

#include "ops/ops.h"
#include "tensor/memory.h"
#include "train/speed.h"
#include "train/tuning.h"

namespace linnet {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kTimedSeconds = 4;  // steps are repeated so long
constexpr double kHardly = 1e-9;     // a learning rate that leaves weights fit for the next step

double InUse() { return static_cast<double>(HostMemoryUse().in_use_bytes); }

/// The most in use above `base` while `body` runs.
double PeakOf(double base, const std::function<void()>& body) {
  ResetHostMemoryPeak();
  body();
  return static_cast<double>(HostMemoryUse().peak_bytes) - base;
}

double Median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

double BytesOf(const std::vector<Parameter>& parameters) {
  double bytes = 0;
  for (const Parameter& p : parameters) bytes += static_cast<double>(p.tensor.bytes());
  return bytes;
}

/// Of what is held beside the model.
double BytesBeside(const TrainableModel& weights) {
  double bytes = weights.beside_model() ? BytesOf(weights.parameters()) : 0;
  for (const auto& [name, fixed] : weights.beginnings) bytes += static_cast<double>(fixed.bytes());
  return bytes;
}

/// Patterns of names without the layers in front: "blocks.3.att.key" -> "att.key".
std::string WithoutLayers(const std::string& patterns) {
  std::string result;
  for (size_t begin = 0; begin < patterns.size();) {
    const size_t end = std::min(patterns.find(',', begin), patterns.size());
    std::string pattern = patterns.substr(begin, end - begin);
    if (pattern.starts_with("blocks.")) {
      const size_t rest = pattern.find('.', 7);
      pattern = rest == std::string::npos ? "*" : pattern.substr(rest + 1);
    }
    result += (result.empty() ? "" : ",") + pattern;
    begin = end + 1;
  }
  return result;
}

/// The options of a part of the model.
TrainOptions PartOf(TrainOptions options, int64_t layers) {
  options.layers = layers;
  if (!TrainsBesideModel(options)) options.init.clear();  // whose sizes are in the options by now
  options.train_only.clear(), options.freeze.clear();
  options.lora_targets = WithoutLayers(options.lora_targets);
  return options;
}

}  // namespace

double SecondsOf(const std::function<void()>& body) {
  const auto start = Clock::now();
  body();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Trial::Trial(const TrainOptions& options) : Trial(options, [&] { return StartingWeights(options, {}); }) {}

Trial::Trial(const TrainOptions& options, int64_t layers, DType beside)
    : Trial(PartOf(options, layers), [&, this] {
        if (!TrainsBesideModel(options_)) return StartingWeights(options_, {});
        LoadedModel model =
            NewModel(FindArchitecture(options_.arch), FreshSizes(options_), RandomMatrices{beside});
        start_ = Clock::now();  // the run does not make the model
        return StartTuningBeside(options_, std::move(model));
      }) {}

Trial::Trial(const TrainOptions& options, const std::function<TrainableModel()>& make)
    : options_(options),
      base_(InUse()),
      start_(Clock::now()),
      weights_(make()),
      mapped_(std::max(
          0.0, BytesOf(weights_.model.params->parameters()) + BytesBeside(weights_) - (InUse() - base_))),
      optimizer_(weights_, {options_.betas[0], options_.betas[1], options_.eps, options_.wd}),
      start_seconds_(std::chrono::duration<double>(Clock::now() - start_).count()) {}

Piece Trial::Measure(int64_t sequences, int64_t length, bool timed) {
  Piece piece{};
  const State state = weights_.model.NewState(static_cast<int>(sequences), State::Mode::kKeepInitial);
  const Samples samples = Draw(sequences, length);
  Count(piece);
  // First, while nothing is set up, as at the beginning of the run.
  if (timed) Time(samples, state, piece);
  Watch(samples, state, piece);
  return piece;
}

void Trial::Count(Piece& piece) const {
  piece.parameters = static_cast<double>(weights_.model.params->count());
  piece.flops_per_token = TrainingFlopsPerToken(weights_);
  piece.weights = BytesOf(weights_.model.params->parameters());
  for (size_t i = 0; i < weights_.parameters().size(); ++i) {
    const auto values = static_cast<double>(weights_.parameters()[i].tensor.size());
    piece.trained += values;
    piece.gradients += 4 * values;
    if (weights_.masters[i]) piece.masters += static_cast<double>(weights_.masters[i].bytes());
  }
  for (const NamedTensor& moment : optimizer_.Moments()) {
    piece.moments += static_cast<double>(moment.tensor.bytes());
  }
  piece.standing = InUse() - base_ + mapped_;
  piece.start_seconds = start_seconds_;
}

/// Samples like those of the run; what they say does not matter.
Samples Trial::Draw(int64_t sequences, int64_t length) const {
  Random random(1);
  Samples samples;
  for (int64_t s = 0; s < sequences; ++s) {
    std::vector<int> tokens;
    for (int64_t t = 0; t < length; ++t) tokens.push_back(static_cast<int>(random.Below(256)));
    samples.batch.Append(tokens, static_cast<int>(s));
    samples.targets.insert(samples.targets.end(), tokens.begin(), tokens.end());
  }
  samples.batch.recompute = options_.recompute;
  return samples;
}

/// A pass, forward and backward, whose memory is watched; where several are accumulated, two: all but the
/// first find gradients there.
void Trial::Watch(const Samples& samples, const State& state, Piece& piece) {
  const double before = InUse();
  Pass(samples, state, before, piece);
  if (options_.accumulate > 1) {
    const double kept = piece.kept;
    Pass(samples, state, before, piece);
    piece.kept = kept;
  }
  optimizer_.ClearGradients();
}

void Trial::Pass(const Samples& samples, const State& state, double before, Piece& piece) {
  const LoadedModel& model = weights_.model;
  Tape tape;
  Tensor hidden, loss;
  const double in_hidden = PeakOf(before, [&] { hidden = model.model->Hidden(samples.batch, state); });
  piece.kept = InUse() - before;
  const double in_loss = PeakOf(before, [&] {
    loss = ops::CrossEntropy(
        hidden, model.model->head(), samples.targets,
        {.l2_wrap = static_cast<float>(options_.l2_wrap), .bias = model.model->head_bias()});
  });
  piece.loss = in_loss - piece.kept;
  piece.forward = std::max(in_hidden, in_loss);
  piece.backward = PeakOf(before, [&] { tape.Backward(loss); });
}

double Trial::TimeStep(std::span<const Samples> batches, const State& state) {
  const StepOptions how{.clip = options_.clip,
                        .l2_wrap = options_.l2_wrap,
                        .dropout = {.probability = static_cast<float>(options_.dropout)},
                        .adapter_dropout = static_cast<float>(options_.lora_dropout)};
  return SecondsOf([&] { TrainStep(weights_.model, optimizer_, batches, state, kHardly, how); });
}

/// Times whole steps: of one pass, and of two, whose difference is a pass. The first one sets up products and
/// takes memory from the system.
void Trial::Time(const Samples& samples, const State& state, Piece& piece) {
  const std::vector<Samples> one{samples}, two{samples, samples};
  const bool accumulates = options_.accumulate > 1;
  TrimHostMemory();
  const double first = TimeStep(one, state);
  std::vector<double> ones, twos;
  double spent = 0;
  while (ones.size() < 3 || (spent < kTimedSeconds && ones.size() < 9)) {
    ones.push_back(TimeStep(one, state));
    if (accumulates) twos.push_back(TimeStep(two, state));
    spent += ones.back() + (accumulates ? twos.back() : 0);
  }
  const double a_step = Median(ones);
  piece.pass_seconds = accumulates ? std::max(0.0, Median(twos) - a_step) : a_step;
  piece.update_seconds = accumulates ? std::max(0.0, a_step - piece.pass_seconds) : 0;
  const auto evaluate = [&] { MeanLoss(weights_.model, one, state); };
  const double first_evaluation = SecondsOf(evaluate);
  piece.evaluation_seconds = SecondsOf(evaluate);
  piece.first_seconds =
      std::max(0.0, first - a_step) + std::max(0.0, first_evaluation - piece.evaluation_seconds);
}

}  // namespace linnet

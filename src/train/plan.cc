#include "train/plan.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <functional>

#include "base/available_memory.h"
#include "base/parallel.h"
#include "ops/ops.h"
#include "tensor/memory.h"
#include "train/speed.h"
#include "train/step.h"
#include "train/trainer.h"
#include "train/tuning.h"
#include "train/vocabulary.h"

namespace linnet {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kWholeSeconds = 15;  // a step of the whole model may take, to be run
constexpr double kPartSeconds = 4;    // a step of a part
constexpr double kTimedSeconds = 4;   // steps are repeated so long
constexpr double kShareOfPeak = 0.4;  // of the speed of products: a guess at what a step reaches
constexpr double kMostOfMemory = 0.9;
constexpr double kHardly = 1e-9;       // a learning rate that leaves weights fit for the next step
constexpr int64_t kPartLength = 1024;  // tokens of a part's sequences
constexpr size_t kWrittenBytes = size_t{64} << 20;  // to see how fast the disk is

double InUse() { return static_cast<double>(HostMemoryUse().in_use_bytes); }

/// The most in use above `base` while `body` runs.
double PeakOf(double base, const std::function<void()>& body) {
  ResetHostMemoryPeak();
  body();
  return static_cast<double>(HostMemoryUse().peak_bytes) - base;
}

double SecondsOf(const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// What steps of a model took. Bytes and seconds are doubles, as they are computed with.
struct Piece {
  double parameters, flops_per_token;
  double weights, masters, moments, gradients;  // bytes
  double standing;                              // in use between steps
  double kept;                                  // after a forward pass
  double loss;                                  // beyond that, in the loss
  double forward;                               // most in a forward pass, above standing
  double backward;                              // most in a backward pass, above standing
  double pass_seconds, update_seconds, evaluation_seconds;
  double start_seconds;  // to make the weights and moments
};

/// A model in training, of the run's width, with as many layers and sequences as wanted.
class Trial {
 public:
  Trial(TrainOptions options, int64_t layers)
      : options_([&] {
          options.layers = layers;
          options.init.clear();  // whose sizes are in the options by now
          options.train_only.clear(),
              options.freeze.clear();  // their patterns may name layers that are not here
          return options;
        }()),
        base_(InUse()),
        start_(Clock::now()),
        weights_(StartingWeights(options_, {})),
        optimizer_(weights_, {options_.betas[0], options_.betas[1], options_.eps, options_.wd}),
        start_seconds_(std::chrono::duration<double>(Clock::now() - start_).count()) {}

  /// Steps over so many sequences of so many tokens.
  Piece Measure(int64_t sequences, int64_t length, bool timed) {
    Piece piece{};
    const LoadedModel& model = weights_.model;
    const State state = model.NewState(static_cast<int>(sequences), State::Mode::kKeepInitial);
    const Samples samples = Draw(sequences, length);
    piece.parameters = static_cast<double>(model.params->count());
    piece.flops_per_token = TrainingFlopsPerToken(model);
    for (size_t i = 0; i < weights_.parameters().size(); ++i) {
      const Tensor& tensor = weights_.parameters()[i].tensor;
      piece.weights += static_cast<double>(tensor.bytes());
      if (weights_.masters[i]) piece.masters += static_cast<double>(weights_.masters[i].bytes());
      piece.gradients += 4.0 * static_cast<double>(tensor.size());
    }
    for (const NamedTensor& moment : optimizer_.Moments()) {
      piece.moments += static_cast<double>(moment.tensor.bytes());
    }
    piece.standing = InUse() - base_;
    piece.start_seconds = start_seconds_;
    Watch(samples, state, piece);
    if (timed) Time(samples, state, piece);
    return piece;
  }

 private:
  /// Samples like those of the run; what they say does not matter.
  Samples Draw(int64_t sequences, int64_t length) const {
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
  void Watch(const Samples& samples, const State& state, Piece& piece) {
    const double before = InUse();
    Pass(samples, state, before, piece);
    if (options_.accumulate > 1) {
      const double kept = piece.kept;
      Pass(samples, state, before, piece);
      piece.kept = kept;
    }
    optimizer_.ClearGradients();
  }

  void Pass(const Samples& samples, const State& state, double before, Piece& piece) {
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

  /// Times whole steps: of one pass, and of two, whose difference is a pass.
  void Time(const Samples& samples, const State& state, Piece& piece) {
    const std::vector<Samples> one{samples}, two{samples, samples};
    const StepOptions how{.clip = options_.clip, .l2_wrap = options_.l2_wrap};
    const auto step = [&](std::span<const Samples> batches) {
      return SecondsOf([&] { TrainStep(weights_.model, optimizer_, batches, state, kHardly, how); });
    };
    const bool accumulates = options_.accumulate > 1;
    step(one);  // sets up products
    std::vector<double> ones, twos;
    double spent = 0;
    while (ones.size() < 3 || (spent < kTimedSeconds && ones.size() < 9)) {
      ones.push_back(step(one));
      if (accumulates) twos.push_back(step(two));
      spent += ones.back() + (accumulates ? twos.back() : 0);
    }
    const double a_step = Median(ones);
    piece.pass_seconds = accumulates ? std::max(0.0, Median(twos) - a_step) : a_step;
    piece.update_seconds = accumulates ? std::max(0.0, a_step - piece.pass_seconds) : 0;
    const auto evaluate = [&] { MeanLoss(weights_.model, one, state); };
    evaluate();
    piece.evaluation_seconds = SecondsOf(evaluate);
  }

  static double Median(std::vector<double> values) {
    std::ranges::sort(values);
    return values[values.size() / 2];
  }

  TrainOptions options_;
  double base_;
  Clock::time_point start_;
  TrainableModel weights_;
  Optimizer optimizer_;
  double start_seconds_;
};

/// Four pieces, of few and more layers and sequences, and what follows for others. Sequences of the run that
/// are long count as several: time and memory go by tokens.
struct Pieces {
  int64_t layers[2], sequences[2];
  Piece at[2][2];  // [layers][sequences]
  bool accumulates;

  /// The value for these layers and sequences: linear in each.
  double Extrapolate(double Piece::*value, int64_t many_layers, int64_t many_sequences) const {
    const auto part = [](const int64_t(&ends)[2], int64_t many) {
      return ends[0] == ends[1]
                 ? 0.0
                 : static_cast<double>(many - ends[0]) / static_cast<double>(ends[1] - ends[0]);
    };
    const double l = part(layers, many_layers), s = part(sequences, many_sequences);
    return (1 - l) * ((1 - s) * at[0][0].*value + s * at[0][1].*value) +
           l * ((1 - s) * at[1][0].*value + s * at[1][1].*value);
  }

  Piece Extrapolate(int64_t many_layers, int64_t many_sequences) const {
    Piece piece{};
    for (double Piece::*value :
         {&Piece::parameters, &Piece::flops_per_token, &Piece::weights, &Piece::masters, &Piece::moments,
          &Piece::gradients, &Piece::standing, &Piece::kept, &Piece::loss, &Piece::forward,
          &Piece::pass_seconds, &Piece::update_seconds, &Piece::evaluation_seconds, &Piece::start_seconds}) {
      piece.*value = Extrapolate(value, many_layers, many_sequences);
    }
    // What the backward pass of the one layer took, and what the others then hold: activations, all before
    // their turn, or gradients, all after it.
    const double kept = piece.kept - Extrapolate(&Piece::kept, layers[0], many_sequences);
    const double gradients = piece.gradients - Extrapolate(&Piece::gradients, layers[0], many_sequences);
    piece.backward = Extrapolate(&Piece::backward, layers[0], many_sequences) +
                     (accumulates ? kept + gradients : std::max(kept, gradients));
    return piece;
  }
};

/// About how many values the parameters have, from below and from above.
double FewestParameters(const TrainOptions& o) {
  const auto width = static_cast<double>(o.width);
  const double layer = 4 * width * width + 2 * width * static_cast<double>(o.ffn);
  return static_cast<double>(o.layers) * layer + 2 * static_cast<double>(o.vocab) * width;
}
double MostParameters(const TrainOptions& o, int64_t layers) {
  const auto width = static_cast<double>(o.width);
  const double layer = 8 * width * width + 2 * width * static_cast<double>(o.ffn);
  return static_cast<double>(layers) * layer + 2 * static_cast<double>(o.vocab) * width;
}

/// Bytes that surely suffice: weights, masters, moments, gradients and float32 copies on the way, and some
/// hundred vectors that a layer keeps of a token.
double MostBytes(const TrainOptions& o, int64_t layers, int64_t tokens) {
  const auto vectors = static_cast<double>(tokens * (layers + 1)) * static_cast<double>(o.width);
  return 22 * MostParameters(o, layers) + 4 * 150 * vectors;
}

int64_t PartLength(const TrainOptions& options) { return std::min(options.ctx, kPartLength); }
int64_t PartSequences(const TrainOptions& options) {
  return (options.batch * options.ctx + PartLength(options) - 1) / PartLength(options);
}

Pieces MeasurePieces(const TrainOptions& options, int64_t layers, int64_t sequences, bool timed) {
  const double most = MostBytes(options, layers, sequences * PartLength(options));
  const auto available = static_cast<double>(AvailableMemory());
  Check(most <= available,
        "a part of the model, of {} layers, must fit memory to be measured; it may need {:.1f} GB, and "
        "{:.1f} GB are available",
        layers, most / 1e9, available / 1e9);
  Pieces pieces{{1, layers}, {1, sequences}, {}, options.accumulate > 1};
  for (int l = 0; l < 2; ++l) {
    Trial trial(options, pieces.layers[l]);
    for (int s = 0; s < 2; ++s)
      pieces.at[l][s] = trial.Measure(pieces.sequences[s], PartLength(options), timed);
  }
  return pieces;
}

/// The pieces that tell how much memory a step takes, the smallest that do.
Pieces SmallPieces(const TrainOptions& options) {
  return MeasurePieces(options, std::min<int64_t>(2, options.layers),
                       std::min<int64_t>(2, PartSequences(options)), false);
}

double PeakBytes(const Piece& piece) { return piece.standing + std::max(piece.backward, piece.forward); }

/// The options with the sizes of the model that they stand for.
TrainOptions WithSizes(TrainOptions options) {
  if (!options.init.empty()) {
    CompleteOptions(options, LoadModel(options.init));
    return options;
  }
  options.arch = FindArchitecture(options.arch).name;
  const Sizes sizes = FreshSizes(options);
  const auto size = [&](const char* name) { return sizes.contains(name) ? sizes.at(name) : 0; };
  options.layers = size("layers"), options.width = size("width"), options.ffn = size("ffn");
  options.vocab = size("vocab"), options.head_size = size("head_size");
  return options;
}

/// Seconds of a step of one pass, guessed.
double GuessedSeconds(const TrainOptions& options, double flops_per_token, int64_t sequences, double peak) {
  return flops_per_token * static_cast<double>(sequences * PartLength(options)) / (kShareOfPeak * peak);
}

/// The whole model's step: measured, or put together from those of parts.
Piece MeasureRun(const TrainOptions& options, RunPlan& plan) {
  const double peak = MeasureMatMulPeak(options.precision == "bf16" ? DType::kBf16 : DType::kF32);
  const bool surely_fits =
      MostBytes(options, options.layers, options.batch * options.ctx) < 0.5 * plan.available_bytes;
  const int64_t all = PartSequences(options);
  const Pieces small = SmallPieces(options);
  const Piece whole = small.Extrapolate(options.layers, all);
  const auto seconds = [&](int64_t layers, int64_t sequences) {
    const double flops = small.Extrapolate(&Piece::flops_per_token, layers, sequences);
    return GuessedSeconds(options, flops, sequences, peak);
  };
  const bool fits = surely_fits || PeakBytes(whole) < kMostOfMemory * plan.available_bytes;
  if (fits && seconds(options.layers, all) < kWholeSeconds) {
    plan.whole_model = true;
    return Trial(options, options.layers).Measure(options.batch, options.ctx, true);
  }
  // As large parts as time allows, so that what is extrapolated is not noise.
  int64_t layers = small.layers[1], sequences = small.sequences[1];
  while (sequences * 2 <= all && seconds(layers, 2 * sequences) < kPartSeconds / 2) sequences *= 2;
  while (layers * 2 <= options.layers && seconds(2 * layers, sequences) < kPartSeconds) layers *= 2;
  return MeasurePieces(options, layers, sequences, true).Extrapolate(options.layers, all);
}

/// Checkpoints of a run, the last one among them.
double Saves(const TrainOptions& options, int64_t steps, double seconds) {
  const SaveInterval interval = ParseSaveInterval(options.save_every);
  if (interval.steps > 0) return std::ceil(static_cast<double>(steps) / static_cast<double>(interval.steps));
  return 1 + (interval.seconds > 0 ? std::floor(seconds / interval.seconds) : 0);
}

/// Seconds to write a byte where `folder` is or will be, and to have it on the disk: of a file without a
/// name, which is gone when it is closed. 0 where the system has no such files.
double SecondsPerByteWritten(std::filesystem::path folder) {
  folder = std::filesystem::absolute(folder);
  while (!std::filesystem::is_directory(folder) && folder.has_relative_path()) folder = folder.parent_path();
  const int descriptor = open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
  if (descriptor < 0) return 0;
  const std::vector<char> block(kWrittenBytes, 'w');
  bool written = false;
  const double seconds = SecondsOf([&] {
    written = write(descriptor, block.data(), block.size()) == static_cast<ssize_t>(block.size()) &&
              fsync(descriptor) == 0;
  });
  close(descriptor);
  return written ? seconds / kWrittenBytes : 0;
}

/// Weights and two moments of each parameter in float32, and the average of --ema.
void PlanStartAndSaving(const TrainOptions& options, const Piece& piece, RunPlan& plan) {
  plan.start_seconds = piece.start_seconds;
  const double bytes = 12 * piece.parameters + (options.ema > 0 ? 4 * piece.parameters : 0);
  plan.save_seconds = bytes * SecondsPerByteWritten(options.out);
}

/// `other`: tokens to measure beside the held-out ones.
void PlanTime(const TrainOptions& options, const Dataset& data, int64_t other, const Piece& piece,
              RunPlan& plan) {
  plan.step_seconds = static_cast<double>(options.accumulate) * piece.pass_seconds + piece.update_seconds;
  const auto batch_tokens = static_cast<double>(options.batch * options.ctx);
  const auto evaluation = [&](int64_t most) {
    const auto tokens = static_cast<double>(std::min(most, data.held_out_tokens()) + std::min(most, other));
    return tokens / batch_tokens * piece.evaluation_seconds;
  };
  double a_step = plan.step_seconds;
  if (options.val_every > 0)
    a_step += evaluation(SampleTokens(options)) / static_cast<double>(options.val_every);
  const double at_end = evaluation(kFinalTokens);
  if (options.minutes != 0) {
    plan.run_seconds = plan.start_seconds + 60 * options.minutes + plan.save_seconds + at_end;
    plan.steps = static_cast<int64_t>(std::ceil(60 * options.minutes / a_step));
    return;
  }
  plan.steps =
      options.steps != 0 ? options.steps : (options.tokens + plan.tokens_per_step - 1) / plan.tokens_per_step;
  const double steps = static_cast<double>(plan.steps) * a_step;
  plan.run_seconds =
      plan.start_seconds + steps + Saves(options, plan.steps, steps) * plan.save_seconds + at_end;
}

void PlanMemory(const Piece& piece, RunPlan& plan) {
  plan.memory = {.weights = piece.weights,
                 .masters = piece.masters,
                 .gradients = piece.gradients,
                 .moments = piece.moments,
                 .activations = piece.kept,
                 .logits = piece.loss,
                 .data = 0,
                 .peak = PeakBytes(piece)};
}

}  // namespace

RunPlan PlanRun(const TrainOptions& asked) {
  Check(!asked.resume, "--dry-run plans a new run; leave --resume out");
  Check(!TrainsBesideModel(asked),
        "--dry-run plans the training of whole models; leave --lora and --tune out");
  TrainOptions options = asked;
  if (options.out.empty()) options.out = "run";  // nothing will be written there
  CheckOptions(options);
  if (options.threads != 0) SetThreads(static_cast<int>(options.threads));
  const Vocabulary vocabulary = CompleteVocabulary(options, options.out);
  const DataOptions reading = DataOptionsOf(options, vocabulary);
  const auto data = OpenDataset(options.data, reading);
  int64_t other = 0;
  for (const Samples& samples : EvaluationSamples(options.eval_data, reading, kFinalTokens)) {
    other += static_cast<int64_t>(samples.targets.size());
  }
  options = WithSizes(options);
  RunPlan plan;
  plan.available_bytes = static_cast<double>(AvailableMemory());
  plan.tokens_per_step = options.tokens_per_step();
  const Piece piece = MeasureRun(options, plan);
  plan.parameters = std::llround(piece.parameters);
  plan.flops_per_token = piece.flops_per_token;
  PlanMemory(piece, plan);
  PlanStartAndSaving(options, piece, plan);
  for (const Dataset::File& file : data->files()) plan.memory.data += static_cast<double>(file.bytes);
  PlanTime(options, *data, other, piece, plan);
  return plan;
}

double EstimatePeakBytes(const TrainOptions& asked) {
  const TrainOptions options = WithSizes(asked);
  return PeakBytes(SmallPieces(options).Extrapolate(options.layers, PartSequences(options)));
}

void CheckMemory(const TrainOptions& asked) {
  if (TrainsBesideModel(asked)) return;  // which takes little more than running the model
  const TrainOptions options = WithSizes(asked);
  const auto available = static_cast<double>(AvailableMemory());
  if (MostBytes(options, options.layers, options.batch * options.ctx) < available) return;
  const double least = 16 * FewestParameters(options);  // weights, gradients, moments
  const double peak = least > available ? least : EstimatePeakBytes(options);
  Check(
      peak <= available,
      "the run would need {:.1f} GB of memory at once, of them {:.1f} GB for weights, gradients and moments, "
      "but {:.1f} GB are available; {}give a smaller --batch (and a larger --accumulate), --ctx or model, or "
      "start all the same with --over-memory",
      peak / 1e9, least / 1e9, available / 1e9, options.recompute ? "" : "give --recompute, ");
}

}  // namespace linnet

#include "train/plan.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "base/available_memory.h"
#include "base/parallel.h"
#include "nn/state_file.h"
#include "train/identity.h"
#include "train/speed.h"
#include "train/trainer.h"
#include "train/trial.h"
#include "train/tuning.h"
#include "train/vocabulary.h"

namespace linnet {
namespace {

constexpr double kWholeSeconds = 15;  // a step of the whole model may take, to be run
constexpr double kPartSeconds = 4;    // a step of a part
constexpr double kShareOfPeak = 0.4;  // of the speed of products: a guess at what a step reaches
constexpr double kMostOfMemory = 0.9;
constexpr int64_t kPartLength = 1024;               // tokens of a part's sequences
constexpr size_t kWrittenBytes = size_t{64} << 20;  // to see how fast the disk is

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
         {&Piece::parameters, &Piece::trained, &Piece::flops_per_token, &Piece::weights, &Piece::masters,
          &Piece::moments, &Piece::gradients, &Piece::standing, &Piece::kept, &Piece::loss, &Piece::forward,
          &Piece::pass_seconds, &Piece::update_seconds, &Piece::evaluation_seconds, &Piece::first_seconds,
          &Piece::start_seconds}) {
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

/// The model that adapters or initial states are trained beside.
struct Base {
  DType type = DType::kF32;               // of most of its matrices
  double bytes = 0, opening_seconds = 0;  // of its weights; to open it, as the run does
};

Base BaseOf(const TrainOptions& o) {
  Base base;
  if (!TrainsBesideModel(o)) return base;
  const MatrixType matrices = o.precision == "bf16" ? MatrixType::kBf16 : MatrixType::kStored;
  std::map<DType, double> types;
  base.opening_seconds = SecondsOf([&] {
    const LoadedModel model = LoadModel(o.init, matrices);
    Fingerprint(model);
    for (const Parameter& p : model.params->parameters()) {
      base.bytes += static_cast<double>(p.tensor.bytes());
      if (p.role == Role::kMatrix) types[p.tensor.dtype()] += static_cast<double>(p.tensor.size());
    }
  });
  const auto most = std::ranges::max_element(types, {}, [](const auto& row) { return row.second; });
  if (most != types.end()) base.type = most->first;
  return base;
}

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

/// Bytes that surely suffice: weights, masters, moments, gradients and float32 copies on the way (beside a
/// model that stays as it is, little more than its weights), and some hundred vectors that a layer keeps of a
/// token.
double MostBytes(const TrainOptions& o, int64_t layers, int64_t tokens) {
  const auto vectors = static_cast<double>(tokens * (layers + 1)) * static_cast<double>(o.width);
  return (TrainsBesideModel(o) ? 8 : 22) * MostParameters(o, layers) + 4 * 150 * vectors;
}

int64_t PartLength(const TrainOptions& options) { return std::min(options.ctx, kPartLength); }
int64_t PartSequences(const TrainOptions& options) {
  return (options.batch * options.ctx + PartLength(options) - 1) / PartLength(options);
}

Pieces MeasurePieces(const TrainOptions& options, const Base& base, int64_t layers, int64_t sequences,
                     bool timed) {
  const double most = MostBytes(options, layers, sequences * PartLength(options));
  const auto available = static_cast<double>(AvailableMemory());
  Check(most <= available,
        "a part of the model, of {} layers, must fit memory to be measured; it may need {:.1f} GB, and "
        "{:.1f} GB are available",
        layers, most / 1e9, available / 1e9);
  Pieces pieces{{1, layers}, {1, sequences}, {}, options.accumulate > 1};
  for (int l = 0; l < 2; ++l) {
    Trial trial(options, pieces.layers[l], base.type);
    for (int s = 0; s < 2; ++s)
      pieces.at[l][s] = trial.Measure(pieces.sequences[s], PartLength(options), timed);
  }
  return pieces;
}

/// The pieces that tell how much memory a step takes, the smallest that do.
Pieces SmallPieces(const TrainOptions& options, const Base& base) {
  return MeasurePieces(options, base, std::min<int64_t>(2, options.layers),
                       std::min<int64_t>(2, PartSequences(options)), false);
}

/// The whole model's step, put together from those of parts.
Piece Whole(const TrainOptions& options, const Base& base, const Pieces& parts) {
  Piece piece = parts.Extrapolate(options.layers, PartSequences(options));
  if (!TrainsBesideModel(options)) return piece;
  piece.standing += base.bytes - piece.weights;  // the parts have all matrices of one type
  piece.weights = base.bytes;
  piece.start_seconds += base.opening_seconds;
  return piece;
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
  double peak = 0;
  plan.start_seconds +=
      SecondsOf([&] { peak = MeasureMatMulPeak(options.precision == "bf16" ? DType::kBf16 : DType::kF32); });
  const Base base = BaseOf(options);
  const bool surely_fits =
      MostBytes(options, options.layers, options.batch * options.ctx) < 0.5 * plan.available_bytes;
  const int64_t all = PartSequences(options);
  const Pieces small = SmallPieces(options, base);
  const Piece whole = Whole(options, base, small);
  const auto seconds = [&](int64_t layers, int64_t sequences) {
    const double flops = small.Extrapolate(&Piece::flops_per_token, layers, sequences);
    return GuessedSeconds(options, flops, sequences, peak);
  };
  const bool fits = surely_fits || PeakBytes(whole) < kMostOfMemory * plan.available_bytes;
  if (fits && seconds(options.layers, all) < kWholeSeconds) {
    plan.whole_model = true;
    return Trial(options).Measure(options.batch, options.ctx, true);
  }
  // As large parts as time allows, so that what is extrapolated is not noise.
  int64_t layers = small.layers[1], sequences = small.sequences[1];
  while (sequences * 2 <= all && seconds(layers, 2 * sequences) < kPartSeconds / 2) sequences *= 2;
  while (layers * 2 <= options.layers && seconds(2 * layers, sequences) < kPartSeconds) layers *= 2;
  return Whole(options, base, MeasurePieces(options, base, layers, sequences, true));
}

/// Checkpoints of a run, the last one among them.
double Saves(const TrainOptions& options, int64_t steps, double seconds) {
  const SaveInterval interval = ParseSaveInterval(options.save_every);
  if (interval.steps > 0) return std::ceil(static_cast<double>(steps) / static_cast<double>(interval.steps));
  return 1 + (interval.seconds > 0 ? std::floor(seconds / interval.seconds) : 0);
}

/// Seconds to write so many bytes where `folder` is or will be, and to have them on the disk: of a file
/// without a name, which is gone when it is closed. 0 where the system has no such files.
double SecondsToWrite(std::filesystem::path folder, size_t bytes) {
  folder = std::filesystem::absolute(folder);
  while (!std::filesystem::is_directory(folder) && folder.has_relative_path()) folder = folder.parent_path();
  const int descriptor = open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
  if (descriptor < 0) return 0;
  const std::vector<char> block(bytes, 'w');
  bool written = false;
  const double seconds = SecondsOf([&] {
    written = write(descriptor, block.data(), bytes) == static_cast<ssize_t>(bytes) && fsync(descriptor) == 0;
  });
  close(descriptor);
  return written ? seconds : 0;
}

/// A checkpoint: weights and two moments of each parameter in float32, the average of --ema, each file with
/// its own way to the disk.
double SecondsToSave(const TrainOptions& options, const Piece& piece) {
  const double of_file = SecondsToWrite(options.out, 1);
  const double of_byte = std::max(0.0, SecondsToWrite(options.out, kWrittenBytes) - of_file) / kWrittenBytes;
  const int files = options.ema > 0 ? 3 : 2;
  const double values = TrainsBesideModel(options) ? piece.trained : piece.parameters;
  const double bytes = 4 * values + 8 * piece.trained + (options.ema > 0 ? 4 * values : 0);
  return files * of_file + bytes * of_byte;
}

/// Seconds of measuring the loss on what is not learnt: on a sample of it as steps go by, by which
/// checkpoints are compared, too, and on (nearly) all of it at the end. With --ema on all held-out tokens
/// twice.
struct Measurements {
  double sample, checkpoint, end;
};

/// `other`: tokens to measure beside the held-out ones.
Measurements PlanMeasurements(const TrainOptions& options, int64_t held_out, int64_t other,
                              const Piece& piece) {
  const double a_token = piece.evaluation_seconds / static_cast<double>(options.batch * options.ctx);
  const auto seconds = [&](int64_t tokens) { return a_token * static_cast<double>(tokens); };
  const auto all = [&](int64_t most) {
    return (options.ema > 0 ? 2 : 1) * seconds(std::min(most, held_out)) + seconds(std::min(most, other));
  };
  const int64_t sample = SampleTokens(options);
  return {all(sample), seconds(std::min(sample, held_out)), all(kFinalTokens)};
}

void PlanTime(const TrainOptions& options, const Measurements& measurements, const Piece& piece,
              RunPlan& plan) {
  plan.step_seconds = static_cast<double>(options.accumulate) * piece.pass_seconds + piece.update_seconds;
  plan.start_seconds += piece.start_seconds + piece.first_seconds;
  plan.save_seconds = SecondsToSave(options, piece);
  double a_step = plan.step_seconds;
  if (options.val_every > 0) a_step += measurements.sample / static_cast<double>(options.val_every);
  // The last checkpoint among them. One with a step whose sample was measured needs no measurement of its
  // own.
  const SaveInterval interval = ParseSaveInterval(options.save_every);
  const bool measured =
      options.val_every > 0 && interval.steps > 0 && interval.steps % options.val_every == 0;
  const double at_end = measurements.end + measurements.checkpoint + plan.save_seconds,
               a_save = plan.save_seconds + (measured ? 0 : measurements.checkpoint);
  const double beside = plan.start_seconds + at_end;
  if (options.minutes != 0) {
    const double seconds = 60 * options.minutes,
                 saving = std::max(0.0, Saves(options, 0, seconds) - 1) * a_save;
    plan.steps = static_cast<int64_t>(std::ceil(std::max(0.0, seconds - saving) / a_step));
    plan.run_seconds = seconds + beside;
    return;
  }
  plan.steps =
      options.steps != 0 ? options.steps : (options.tokens + plan.tokens_per_step - 1) / plan.tokens_per_step;
  const double steps = static_cast<double>(plan.steps) * a_step;
  plan.run_seconds = beside + steps + (Saves(options, plan.steps, steps) - 1) * a_save;
}

void PlanMemory(const TrainOptions& options, const Piece& piece, RunPlan& plan) {
  // Beside a model, and once more as what adapters began as.
  const double beside = TrainsBesideModel(options) ? (options.pissa ? 8 : 4) * piece.trained : 0;
  plan.memory = {.weights = piece.weights + beside,
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
  TrainOptions options = asked;
  if (options.out.empty()) options.out = "run";  // nothing will be written there
  CheckOptions(options);
  if (options.threads != 0) SetThreads(static_cast<int>(options.threads));
  RunPlan plan;
  std::unique_ptr<Dataset> data;
  int64_t other = 0;
  plan.start_seconds = SecondsOf([&] {  // what the run reads of its data at first
    const Vocabulary vocabulary = CompleteVocabulary(options, options.out);
    const DataOptions reading = DataOptionsOf(options, vocabulary);
    data = OpenDataset(options.data, reading);
    DataIdentity(*data);
    data->HeldOut(kFinalTokens);
    for (const Samples& samples : EvaluationSamples(options.eval_data, reading, kFinalTokens)) {
      other += static_cast<int64_t>(samples.targets.size());
    }
  });
  options = WithSizes(options);
  plan.available_bytes = static_cast<double>(AvailableMemory());
  plan.tokens_per_step = options.tokens_per_step();
  const Piece piece = MeasureRun(options, plan);
  plan.parameters = std::llround(piece.parameters);
  plan.trained = std::llround(piece.trained);
  plan.flops_per_token = piece.flops_per_token;
  PlanMemory(options, piece, plan);
  for (const Dataset::File& file : data->files()) plan.memory.data += static_cast<double>(file.bytes);
  PlanTime(options, PlanMeasurements(options, data->held_out_tokens(), other, piece), piece, plan);
  return plan;
}

double EstimatePeakBytes(const TrainOptions& asked) {
  const TrainOptions options = WithSizes(asked);
  const Base base = BaseOf(options);
  return PeakBytes(Whole(options, base, SmallPieces(options, base)));
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

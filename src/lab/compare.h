// Several architectures on one task, at equal parameters and equal budgets of tokens or time: what
// `linnet compare` does.
//
// Each is trained at every learning rate of a small grid for a tenth of the budget; the one with the lowest
// validation loss is trained for the whole budget, once for each seed. Data, batches, optimizer and its
// settings are the same for all. Results are told on the test part.
//
//     OUT/compare.json                    what is compared: another comparison needs another folder
//     OUT/runs/ARCH/lr-0.003/result.json  a run of the grid;  OUT/runs/ARCH/seed-1/result.json  a whole one
//     OUT/runs/ARCH/seed-1/...            log, checkpoints, the model, as `linnet train` writes them
//
// A run with a result is never repeated, one with a checkpoint goes on: a comparison can be stopped at any
// moment, and be given more architectures or seeds later.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lab/score.h"
#include "lab/sizing.h"
#include "lab/task.h"
#include "train/log.h"
#include "train/trainer.h"

namespace linnet::lab {

struct CompareOptions {
  std::string task;
  std::vector<std::string> data;
  std::vector<std::string> architectures;
  int64_t parameters = 350'000, layers = 2;
  int64_t tokens = 0, steps = 0;  // the budget of a run: one of these and minutes
  double minutes = 0;
  int64_t seeds = 3, batch = 0;  // batch 0: the task's own
  std::vector<double> rates{3e-4, 1e-3, 3e-3, 1e-2};
  double wd = 0, until = 0;  // until: a quality on the validation part at which a run is over; 0: none
  std::string precision = "fp32";
  int64_t threads = 0;
  std::filesystem::path out;
  std::string version = "unknown";
};

/// A moment of a run: what was measured on the validation part.
struct CurvePoint {
  int64_t tokens;
  double seconds, loss, quality;
};

struct RunResult {
  double rate = 0;
  int64_t seed = 0, steps = 0, tokens = 0;
  double seconds = 0, tokens_per_s = 0;  // of training, the median over steps
  bool solved = false;                   // ended as it had reached `until`
  double validation_loss = 0;
  Score score;                    // on the test part; of whole runs alone
  std::optional<double> carried;  // of texts: bits a byte with the state carried through the test part
  Running running;                // of whole runs alone
  std::vector<CurvePoint> curve;
  std::string failure;  // why there is no result; "" if there is one
};

struct ArchitectureResult {
  Contestant contestant;
  SizedModel model;
  std::vector<RunResult> grid, runs;
  double rate = 0;  // the best of the grid
};

struct Comparison {
  std::string task;  // with all settings
  Quality quality = Quality::kAccuracy;
  int64_t batch = 0, length = 0;
  std::vector<ArchitectureResult> results;
};

/// Told what happens.
class CompareObserver {
 public:
  virtual ~CompareObserver() = default;
  virtual void Sized(const ArchitectureResult&) {}
  /// `run` is "rwkv7, lr 0.003" or "rwkv7, seed 1".
  virtual void StepDone(const std::string& /*run*/, const StepRecord&, const Progress&) {}
  virtual void RunDone(const std::string& /*run*/, const RunResult&, bool /*was_there*/) {}
  virtual bool StopRequested() { return false; }
};

/// Throws Error, before anything is trained or written, if the options make no sense or sizes are impossible.
/// None if the observer asked to stop: calling it again goes on.
std::optional<Comparison> Compare(const CompareOptions& options, CompareObserver& observer);

/// The value in the middle, of an even number the mean of two. Of none: NaN.
double Median(std::vector<double> values);

/// The qualities of the runs that have one.
std::vector<double> Qualities(const ArchitectureResult& result, Quality quality);

/// The comparison as one JSON object: docs/lab.md describes it.
std::string ToJson(const Comparison& comparison);

}  // namespace linnet::lab

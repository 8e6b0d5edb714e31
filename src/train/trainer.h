// The trainer: data -> batch -> forward -> loss -> backward -> clip -> AdamW -> log, with checkpoints from
// which a run goes on as if it had never stopped: the same losses to the bit, on the same number of threads.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "train/comm.h"
#include "train/log.h"
#include "train/options.h"

namespace linnet {

class Dataset;
struct LoadedModel;
struct Samples;
struct TrainableModel;

/// What a run is, for those who watch it.
struct RunFacts {
  const TrainOptions* options;  // complete: with the sizes, and what was taken from a checkpoint
  const TrainableModel* weights;
  const Dataset* data;
  int64_t first_step;  // 0 for a new run
  int64_t steps;       // of the whole run; 0 where its length is a time
};

struct Progress {
  int64_t steps_done = 0;
  double fraction = 0;      // of the run
  double seconds_left = 0;  // estimate
};

/// Told what happens. Called from the thread that trains, between steps.
class TrainObserver {
 public:
  virtual ~TrainObserver() = default;
  virtual void Started(const RunFacts&) {}
  virtual void StepDone(const StepRecord&, const Progress&) {}
  virtual void Message(const std::string&) {}
  /// Asked for a sample of what the model writes (--sample-every), as valid UTF-8: texts are made by those
  /// who run models. The same model and step must give the same text.
  virtual std::string Sample(const TrainableModel&, const TrainOptions&, int64_t /*step*/) { return ""; }
  /// Asked, whenever the held-out loss is measured, for another number that says how good the model is; kept
  /// in the log as "quality".
  virtual std::optional<double> Quality(const LoadedModel&, const std::vector<Samples>& /*held_out*/) {
    return std::nullopt;
  }
  /// Asked after each step; true ends the run with a checkpoint.
  virtual bool StopRequested() { return false; }
};

struct TrainResult {
  bool interrupted = false;  // StopRequested() said so
  int64_t steps = 0;         // done in total
  std::optional<double> val_loss;
  std::filesystem::path model, log;
};

/// How much of the held-out part is measured during a run: what takes less time than a step, and enough to
/// tell apart losses that differ by a few per cent. And at its end.
int64_t SampleTokens(const TrainOptions& options);
inline constexpr int64_t kFinalTokens = 256 * 1024;

/// Trains. Throws Error, before anything is changed where that is possible, if the options make no sense, a
/// file cannot be used, another run has the folder, or steps go wrong again and again (train/recovery.h).
/// `data` takes the place of the files in options.data, which then only names it; its tokens are those of a
/// vocabulary of options.vocab, which options.tokenizer names.
/// All processes of `others` call it alike; what is no CommonError was thrown in this one alone, and the
/// others wait for it. The run stops where any of their observers asks for it.
TrainResult Train(const TrainOptions& options, TrainObserver& observer, Communicator& others = Alone(),
                  std::shared_ptr<const Dataset> data = nullptr);

}  // namespace linnet

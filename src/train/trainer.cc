#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/parallel.h"
#include "train/checkpointing.h"
#include "train/ema.h"
#include "train/identity.h"
#include "train/plan.h"
#include "train/recovery.h"
#include "train/schedule.h"
#include "train/step.h"
#include "train/tensorboard.h"
#include "train/tuning.h"
#include "train/vocabulary.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Clock = std::chrono::steady_clock;


/// Where a run stands, beside weights and moments.
struct Counters {
  int64_t step = 0;     // the next one
  DataPosition data;    // where it goes on
  int64_t updates = 0;  // steps that were not skipped
  double seconds = 0;
  int threads = 0;         // that computed the last step
  int64_t best_step = -1;  // of the checkpoint with the lowest held-out loss, and that loss
  std::optional<double> best_loss;
};

std::string ToJson(const Counters& c) {
  return json{{"step", c.step},           {"data", {c.data.epoch, c.data.document, c.data.token}},
              {"updates", c.updates},
              {"seconds", c.seconds},     {"threads", c.threads},
              {"best_step", c.best_step}, {"best_loss", c.best_loss ? json(*c.best_loss) : json(nullptr)}}
      .dump();
}

const std::string& Metadata(const Checkpoint& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  Check(found != file.metadata().end(), "{}: is not the trainer's part of a checkpoint: it has no '{}'",
        file.path().string(), key);
  return found->second;
}

Counters ReadCounters(const Checkpoint& trainer) {
  try {
    const json saved = json::parse(Metadata(trainer, "counters"));
    const json data = saved.value("data", json{0, 0, 0});  // checkpoints of old have none
    Counters counters{saved.at("step"),
                      {data.at(0), data.at(1), data.at(2)},
                      saved.at("updates"),
                      saved.at("seconds"),
                      saved.value("threads", 0),
                      saved.value("best_step", int64_t{-1}),
                      std::nullopt};
    if (saved.contains("best_loss") && saved["best_loss"].is_number())
      counters.best_loss = saved["best_loss"];
    return counters;
  } catch (const json::exception&) {
    Fail("{}: the counters of its run cannot be read", trainer.path().string());
  }
}

/// What a checkpoint's run knew of bad steps; nothing in those of earlier versions.
void ReadRecovery(const Checkpoint& trainer, Recovery& recovery) {
  const auto found = trainer.metadata().find("recovery");
  if (found != trainer.metadata().end()) recovery.Restore(found->second, trainer.path().string());
}

OptimizerOptions OptimizerOptionsOf(const TrainOptions& o, const TrainableModel& weights) {
  const double eps = o.eps < 0 ? DefaultsOf(weights.model.architecture->name).eps : o.eps;
  const Layerwise layerwise = ParseLayerwise(o.layerwise);
  CheckLayerwise(layerwise, weights.parameters());
  return {o.betas[0], o.betas[1], eps, o.wd, layerwise};
}

/// A run that had to stop, as its successor needs to know it.
struct Return {
  Recovery recovery;
  Counters counters;
  std::string why;
};

class Run {
 public:
  /// `from` is the checkpoint to go on with, or null.
  Run(TrainOptions options, RunFolder& folder, const CheckpointFiles* from, TrainObserver& observer);
  /// Says that this run goes on for one that had to return to its checkpoint.
  void ReturnedFrom(const Return& before);
  /// Trains to the end, or until the run has to return to a checkpoint, which leaves the result empty.
  std::optional<TrainResult> Go();
  Return WhyReturn() const { return {recovery_, counters_, why_}; }

 private:
  void PinPaths();
  int64_t TotalSteps() const;
  double Fraction() const;
  bool Finished() const;
  bool SaveDue() const;
  double Elapsed() const;
  StepRecord Step();
  void WarnOfThreads();
  void Measure(StepRecord& record, bool last);
  void MeasureHeldOut(StepRecord& record, bool last);
  double Loss(const std::vector<Samples>& samples) const;
  double HeldOutSample();
  double LearningRateNow() const;
  Progress ProgressNow() const;
  void Save();
  std::string Description() const;

  TrainOptions options_;
  RunFolder& folder_;
  TrainObserver& observer_;
  Vocabulary vocabulary_;
  std::unique_ptr<Dataset> data_;
  TrainableModel weights_;
  Optimizer optimizer_;
  std::optional<WeightAverage> average_;
  Recovery recovery_;
  State state_;
  std::vector<Samples> sample_, held_out_;
  std::vector<Samples> eval_sample_, eval_;  // the same of --eval-data
  SaveInterval save_interval_;
  fs::path log_path_;
  std::optional<RunLog> log_;
  std::optional<TensorBoard> tensorboard_;
  std::string data_identity_;
  Counters counters_;
  std::optional<Return> returned_;
  std::string why_;  // the last bad step was bad
  int64_t first_step_ = 0, last_save_step_ = 0;
  double seconds_before_ = 0, last_save_seconds_ = 0;
  Clock::time_point start_;
  std::optional<double> val_loss_, ema_val_loss_;
  std::optional<double> sample_loss_;  // held out, of the present weights or their average
};

Run::Run(TrainOptions options, RunFolder& folder, const CheckpointFiles* from, TrainObserver& observer)
    : options_(std::move(options)),
      folder_(folder),
      observer_(observer),
      vocabulary_(CompleteVocabulary(options_, folder.path())),
      data_(OpenDataset(options_.data, DataOptionsOf(options_, vocabulary_))),
      weights_(StartingWeights(options_, from == nullptr ? fs::path() : from->weights)),
      optimizer_(weights_, OptimizerOptionsOf(options_, weights_)),
      recovery_(options_.spike),
      state_(weights_.model.NewState(static_cast<int>(options_.batch), State::Mode::kKeepInitial)),
      sample_(data_->HeldOut(SampleTokens(options_))),
      held_out_(data_->HeldOut(kFinalTokens)),
      eval_sample_(EvaluationSamples(options_.eval_data, DataOptionsOf(options_, vocabulary_), SampleTokens(options_))),
      eval_(EvaluationSamples(options_.eval_data, DataOptionsOf(options_, vocabulary_), kFinalTokens)),
      save_interval_(ParseSaveInterval(options_.save_every)),
      log_path_(options_.log.empty() ? folder.path() / "log.jsonl" : fs::path(options_.log)),
      data_identity_(DataIdentity(*data_)) {
  if (options_.ema > 0) average_.emplace(weights_, options_.ema);
  Check(weights_.model.vocab() >= vocabulary_.ids, "{}: has a vocabulary of {}, --tokenizer {} has {}",
        options_.init, weights_.model.vocab(), vocabulary_.name, vocabulary_.ids);
  CompleteOptions(options_, weights_.model);
  PinPaths();
  for (const auto* held_out : {&sample_, &held_out_, &eval_sample_, &eval_}) MakeRoom(weights_.model, *held_out, state_);
  if (from != nullptr) {
    const auto trainer = Checkpoint::Open(from->trainer);
    CheckSameData(data_identity_, Metadata(*trainer, "data"), from->trainer.string());
    counters_ = ReadCounters(*trainer);
    ReadRecovery(*trainer, recovery_);
    optimizer_.Restore(*trainer, counters_.updates);
    if (average_) average_->Restore(*Checkpoint::Open(from->average));
    folder.PointAt(*from, counters_.best_step == counters_.step);
  }
  // Three checkpoints exist while the third replaces the first, and the best weights; a moment, a weight and an
  // average are 4 bytes each.
  uint64_t moments = 0, weights = 0;
  for (const Parameter& p : weights_.parameters()) moments += 8 * static_cast<uint64_t>(p.tensor.size());
  for (const NamedTensor& t : weights_.Contents()) weights += 4 * static_cast<uint64_t>(t.tensor.size());
  folder.CheckSpace(3 * (moments + (average_ ? 2 : 1) * weights) + weights);
  first_step_ = last_save_step_ = counters_.step;
  seconds_before_ = last_save_seconds_ = counters_.seconds;
}

/// Makes the paths among the options good for resuming from anywhere. The log in the run's own folder goes
/// unnamed, so that it is found again when the folder has moved.
void Run::PinPaths() {
  for (std::string& name : options_.data) name = fs::absolute(name).string();
  const auto pinned = [](const fs::path& path) { return fs::weakly_canonical(fs::absolute(path)); };
  options_.init = TrainsBesideModel(options_) ? pinned(options_.init).string() : "";
  const bool own = pinned(log_path_) == pinned(folder_.path() / "log.jsonl");
  options_.log = own ? "" : pinned(log_path_).string();
  for (std::string& file : options_.eval_data) file = pinned(file).string();
  if (!options_.tensorboard.empty()) options_.tensorboard = pinned(options_.tensorboard).string();
}

int64_t Run::TotalSteps() const {
  if (options_.steps != 0) return options_.steps;
  return (options_.tokens + options_.tokens_per_step() - 1) / options_.tokens_per_step();
}

double Run::Elapsed() const {
  return seconds_before_ + std::chrono::duration<double>(Clock::now() - start_).count();
}

double Run::Fraction() const {
  if (options_.minutes != 0) return std::min(1.0, Elapsed() / (60 * options_.minutes));
  return static_cast<double>(counters_.step) / static_cast<double>(TotalSteps());
}

bool Run::Finished() const {
  return options_.minutes != 0 ? Elapsed() >= 60 * options_.minutes : counters_.step >= TotalSteps();
}

/// Never between bad steps, so that the checkpoints kept are ones to return to.
bool Run::SaveDue() const {
  if (!recovery_.good()) return false;
  if (save_interval_.steps > 0) return counters_.step - last_save_step_ >= save_interval_.steps;
  return save_interval_.seconds > 0 && Elapsed() - last_save_seconds_ >= save_interval_.seconds;
}

double Run::LearningRateNow() const {
  const Schedule schedule{options_.lr,
                          options_.final_lr(),
                          options_.warmup,
                          options_.warmup_start,
                          ParseScheduleShape(options_.schedule),
                          options_.decay_fraction,
                          ParseDecayShape(options_.decay_shape)};
  const int64_t tokens = options_.steps != 0 ? options_.steps * options_.tokens_per_step() : options_.tokens;
  const double progress = options_.minutes != 0
                              ? Fraction()
                              : TokenProgress(schedule, counters_.step, options_.tokens_per_step(), tokens);
  return LearningRate(schedule, counters_.step, progress);
}

StepRecord Run::Step() {
  const Clock::time_point start = Clock::now();
  StepRecord record;
  record.step = counters_.step;
  record.lr = LearningRateNow();
  const auto seed = static_cast<uint64_t>(options_.seed);
  const int64_t drawn_as = recovery_.DrawnAs(counters_.step);
  std::vector<Samples> batches = data_->Draw(drawn_as, counters_.data);
  size_t tokens = 0;
  for (Samples& samples : batches) {
    samples.batch.recompute = options_.recompute;
    tokens += samples.targets.size();
  }
  MakeRoom(weights_.model, batches, state_);
  const StepLimits limits = recovery_.limits();
  const StepOutcome outcome =
      TrainStep(weights_.model, optimizer_, batches, state_, record.lr,
                {.clip = options_.clip,
                 .l2_wrap = options_.l2_wrap,
                 .chunking = {options_.chunk, options_.backprop == "truncated"},
                 .limits = limits,
                 .dropout = {static_cast<float>(options_.dropout), seed, static_cast<uint64_t>(drawn_as)}});
  recovery_.Count(record.step, outcome.loss, outcome.gradient_norm, outcome.skipped);
  if (outcome.skipped) {
    why_ = WhatWasBad(outcome.loss, outcome.gradient_norm, limits, options_.spike);
    observer_.Message(fmt::format("step {} was skipped: {}", record.step, why_));
  } else if (average_) {
    average_->Update(optimizer_.updates());
  }
  sample_loss_.reset();
  record.loss = outcome.loss;
  record.gradient_norm = outcome.gradient_norm;
  record.skipped = outcome.skipped;
  record.tokens_are_bytes = options_.tokenizer == "bytes";
  record.tokens_per_s =
      static_cast<double>(tokens) / std::chrono::duration<double>(Clock::now() - start).count();
  ++counters_.step;
  counters_.updates = optimizer_.updates();
  counters_.seconds = record.seconds = Elapsed();
  return record;
}

/// The losses on what is not learnt where they are due, on a fixed sample now and then, on (nearly) all of
/// it at the end; and a sample of what the model writes.
void Run::Measure(StepRecord& record, bool last) {
  const bool due = last || (options_.val_every > 0 && counters_.step % options_.val_every == 0);
  if (!held_out_.empty() && due) MeasureHeldOut(record, last);
  if (!eval_.empty() && due) record.eval_loss = Loss(last ? eval_ : eval_sample_);
  if (options_.sample_every > 0 && (last || counters_.step % options_.sample_every == 0)) {
    record.sample = observer_.Sample(weights_.model, options_, record.step);
  }
}

double Run::Loss(const std::vector<Samples>& samples) const {
  return MeanLoss(weights_.model, samples, state_, options_.chunk);
}

void Run::MeasureHeldOut(StepRecord& record, bool last) {
  const std::vector<Samples>& samples = last ? held_out_ : sample_;
  record.val_loss = val_loss_ = Loss(samples);
  if (average_) {
    const WeightAverage::InUse average(*average_);
    record.ema_val_loss = ema_val_loss_ = Loss(samples);
  }
  if (!last) sample_loss_ = record.ema_val_loss.value_or(*record.val_loss);
}

/// That on the fixed sample, by which checkpoints are compared.
double Run::HeldOutSample() {
  if (!sample_loss_) {
    std::optional<WeightAverage::InUse> average;
    if (average_) average.emplace(*average_);
    sample_loss_ = Loss(sample_);
  }
  return *sample_loss_;
}

Progress Run::ProgressNow() const {
  const double fraction = Fraction(), elapsed = Elapsed();
  if (options_.minutes != 0)
    return {counters_.step, fraction, std::max(0.0, 60 * options_.minutes - elapsed)};
  const auto done = static_cast<double>(counters_.step - first_step_);
  const double a_step = (elapsed - seconds_before_) / std::max(1.0, done);
  return {counters_.step, fraction, a_step * static_cast<double>(TotalSteps() - counters_.step)};
}

/// The settings for readers of the weights, who have no business with the folders of this machine and with
/// how the run was watched.
std::string Run::Description() const {
  json settings = json::parse(SettingsToJson(options_));
  settings["data"] = json::parse(data_identity_);
  for (const char* key :
       {"log", "tensorboard", "eval-data", "sample-every", "sample-prompt", "sample-tokens"}) {
    settings.erase(key);
  }
  settings["init"] = fs::path(options_.init).filename().string();
  return settings.dump();
}

void Run::Save() {
  if (counters_.step == last_save_step_) return;
  CheckpointParts parts;
  parts.step = counters_.step;
  parts.weights = weights_.Contents();
  if (average_) parts.average = average_->Values();
  if (!sample_.empty() && recovery_.good()) {
    const double loss = HeldOutSample();
    parts.best = !counters_.best_loss || loss < *counters_.best_loss;
    if (parts.best) counters_.best_step = counters_.step, counters_.best_loss = loss;
  }
  counters_.threads = Threads();
  const auto number = [](const std::optional<double>& loss) { return (loss ? json(*loss) : json()).dump(); };
  parts.weights_metadata = {{"linnet", options_.version},
                            {"architecture", options_.arch},
                            {"sizes", json(weights_.model.sizes).dump()},
                            {"tokenizer", options_.tokenizer},
                            {"training", Description()},
                            {"step", std::to_string(counters_.step)},
                            {"val_loss", number(val_loss_)}};
  parts.weights_metadata.insert(weights_.metadata.begin(), weights_.metadata.end());
  if (average_) parts.weights_metadata["ema_val_loss"] = number(ema_val_loss_);
  if (!data_->chat_template().empty()) parts.weights_metadata["chat_template"] = data_->chat_template();
  parts.trainer = optimizer_.Moments();
  parts.trainer_metadata = {{"settings", SettingsToJson(options_)},
                            {"data", data_identity_},
                            {"counters", ToJson(counters_)},
                            {"recovery", recovery_.ToJson()}};
  folder_.Save(parts);
  last_save_step_ = counters_.step;
  last_save_seconds_ = Elapsed();
}

void Run::ReturnedFrom(const Return& before) {
  recovery_.ReturnFrom(before.recovery);
  counters_.data = before.counters.data;  // other documents than those that it met
  if (options_.minutes != 0) counters_.seconds = seconds_before_ = before.counters.seconds;
  returned_ = before;
}

/// Sums over rows are added up thread by thread, so another number of threads rounds otherwise.
void Run::WarnOfThreads() {
  if (counters_.threads == 0 || counters_.threads == Threads()) return;
  observer_.Message(
      fmt::format("the run had {} threads and now has {}: the losses to come may differ in their last digits "
                  "from those of a run that was never stopped; for the same ones give --threads {}",
                  counters_.threads, Threads(), counters_.threads));
}

std::optional<TrainResult> Run::Go() {
  if (options_.threads != 0) SetThreads(static_cast<int>(options_.threads));
  if (!options_.tensorboard.empty()) tensorboard_.emplace(options_.tensorboard, counters_.step);
  vocabulary_.KeepIn(folder_.path());
  log_.emplace(log_path_, counters_.step);
  if (returned_) log_->WriteReturn(counters_.step, returned_->counters.step, returned_->why);
  observer_.Started(
      {&options_, &weights_, data_.get(), first_step_, options_.minutes != 0 ? 0 : TotalSteps()});
  WarnOfThreads();
  start_ = Clock::now();
  bool interrupted = false, last = Finished();
  while (!interrupted && !last) {
    StepRecord record = Step();
    last = Finished();  // asked once a step, as a run with a time limit answers by the clock
    Measure(record, last);
    log_->Write(record);
    if (tensorboard_) tensorboard_->Write(record);
    if (recovery_.must_return()) return std::nullopt;
    observer_.StepDone(record, ProgressNow());
    interrupted = !last && observer_.StopRequested();
    if (interrupted || last || SaveDue()) Save();
  }
  return TrainResult{interrupted, counters_.step, val_loss_, folder_.model(), log_path_};
}

/// The checkpoint to which a run goes back: the newest good one, after trouble soon after that the one
/// before.
CheckpointFiles CheckpointToReturnTo(const RunFolder& folder, const Return& trouble) {
  const int again = trouble.recovery.returns_in_a_row();
  const std::string what = fmt::format("{} steps in a row were skipped, the last of them {}, as {}",
                                       Recovery::kMostBad, trouble.counters.step - 1, trouble.why);
  std::vector<CheckpointFiles> good;
  for (const CheckpointFiles& files : folder.Checkpoints()) {
    Recovery then(0);
    ReadRecovery(*Checkpoint::Open(files.trainer), then);
    if (then.good()) good.push_back(files);
  }
  Check(!good.empty(), "{}; no checkpoint was saved yet to return to; try a lower --lr", what);
  Check(
      again < Recovery::kMostReturns,
      "{}; the run has returned to a checkpoint {} times and came to the same end with other data; the last "
      "good checkpoint is {}; try a lower --lr, or --spike 0 if its losses are sound",
      what, again, good.back().weights.string());
  return good[good.size() > 1 && again > 0 ? good.size() - 2 : good.size() - 1];
}

/// Trains from a checkpoint, or from the start where `from` is null, returning to earlier ones as need be.
TrainResult RunToTheEnd(const TrainOptions& options, RunFolder& folder, const CheckpointFiles* from,
                        TrainObserver& observer) {
  std::optional<Return> trouble;
  CheckpointFiles back;
  while (true) {
    // One run at a time, as each holds all the memory.
    Run run(options, folder, from, observer);
    if (trouble) run.ReturnedFrom(*trouble);
    if (const auto result = run.Go()) return *result;
    trouble = run.WhyReturn();
    back = CheckpointToReturnTo(folder, *trouble);
    folder.ReturnTo(back);
    observer.Message(
        fmt::format("{} steps in a row were skipped: returning to the checkpoint of step {}, to go "
                    "on with other data",
                    Recovery::kMostBad, back.step));
    from = &back;
  }
}

}  // namespace

int64_t SampleTokens(const TrainOptions& options) {
  return std::clamp<int64_t>(2 * options.tokens_per_step(), 2048, 8192);
}

TrainResult Train(const TrainOptions& asked, TrainObserver& observer) {
  if (!asked.resume) CheckOptions(asked);
  Check(!asked.out.empty(), "the folder of the run is missing; give --out DIR");
  Check(!asked.resume || fs::is_directory(asked.out), "{}: there is no such folder to resume a run from",
        asked.out);
  RunFolder folder(asked.out);
  const std::vector<CheckpointFiles> saved = folder.Checkpoints();
  Check(!asked.resume || !saved.empty(), "{}: holds no checkpoint to resume from; leave --resume out",
        asked.out);
  Check(asked.resume || saved.empty(),
        "{}: holds the checkpoints of another run; go on with it with --resume, or give another --out",
        asked.out);
  if (!asked.resume) {
    if (!asked.over_memory) CheckMemory(asked);
    return RunToTheEnd(asked, folder, nullptr, observer);
  }
  const CheckpointFiles& newest = saved.back();
  const auto trainer = Checkpoint::Open(newest.trainer);
  const TrainOptions options = AdoptSettings(asked, Metadata(*trainer, "settings"), newest.trainer.string());
  CheckOptions(options);
  if (!options.over_memory) CheckMemory(options);
  return RunToTheEnd(options, folder, &newest, observer);
}

}  // namespace linnet

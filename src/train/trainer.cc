#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/parallel.h"
#include "train/checkpointing.h"
#include "train/counters.h"
#include "train/data_parallel.h"
#include "train/ema.h"
#include "train/identity.h"
#include "train/plan.h"
#include "train/schedule.h"
#include "train/step.h"
#include "train/tensorboard.h"
#include "train/trouble.h"
#include "train/tuning.h"
#include "train/vocabulary.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Clock = std::chrono::steady_clock;
using Strings = std::map<std::string, std::string>;

constexpr const char* kProcesses = "processes";  // in the metadata of the trainer's part

OptimizerOptions OptimizerOptionsOf(const TrainOptions& o, const TrainableModel& weights) {
  const double eps = o.eps < 0 ? DefaultsOf(weights.model.architecture->name).eps : o.eps;
  const Layerwise layerwise = ParseLayerwise(o.layerwise);
  CheckLayerwise(layerwise, weights.parameters());
  return {o.betas[0], o.betas[1], eps, o.wd, layerwise};
}

std::vector<Trained> TrainedHere(TrainableModel& weights, Communicator& others,
                                 std::optional<DataParallel>& parallel) {
  if (others.size() == 1) return weights.trained();
  return parallel.emplace(others, weights).share();
}

using Data = std::shared_ptr<const Dataset>;

/// The data, `given` or from files, checked to be shareable among the processes.
Data OpenShared(const TrainOptions& o, const Vocabulary& vocabulary, const Communicator& others, Data given) {
  Data data = given ? std::move(given) : OpenDataset(o.data, DataOptionsOf(o, vocabulary));
  const int n = others.size();
  if (n == 1) return data;
  Check(
      !TrainsBesideModel(o) && o.freeze.empty() && o.train_only.empty(),
      "--lora, --tune state, --freeze and --train are for a single process: {} were started by mpirun; start "
      "one, or train all of the model",
      n);
  Check(
      o.ema == 0,
      "--ema averages weights that {} processes have in shares, which they cannot; leave it out, or train in "
      "one process, without mpirun",
      n);
  Check(
      !data->equal_sequences() || o.batch % n == 0,
      "--batch {} is the total over all processes and does not divide by the {} that mpirun started; give a "
      "multiple of {}, or another number of processes",
      o.batch, n, n);
  Check(o.batch >= n,
        "--batch {} is the total over all processes, and too small for the {} that mpirun started: packed "
        "documents are shared as whole sequences; give at least {}, or start fewer processes",
        o.batch, n, n);
  return data;
}

class Run {
 public:
  /// `from` is the checkpoint to go on with, or null. `data` may be null: then it is read from files.
  Run(TrainOptions options, RunFolder& folder, const CheckpointFiles* from, TrainObserver& observer,
      Communicator& others, const Data& data);
  /// Says that this run goes on for one that had to return to its checkpoint.
  void ReturnedFrom(const Trouble& before);
  /// Trains to the end, or until the run has to return to a checkpoint, which leaves the result empty.
  std::optional<TrainResult> Go();
  Trouble WhyReturn() const { return {recovery_, counters_, why_}; }

 private:
  void PinPaths(bool data_are_files);
  int64_t TotalSteps() const;
  double Fraction() const;
  bool Finished() const;
  bool SaveDue() const;
  double Elapsed() const { return now_; }
  void Tick();
  void SetThreadsOfProcess() const;
  StepRecord Step();
  void WarnOfOtherSums();
  void OpenLogs();
  void Measure(StepRecord& record, bool last);
  void MeasureHeldOut(StepRecord& record, bool last);
  double Loss(const std::vector<Samples>& passes) const;
  double HeldOutSample();
  double LearningRateNow() const;
  Progress ProgressNow() const;
  void Save();
  void SaveTogether(CheckpointParts& parts);
  Strings WeightsMetadata() const;
  Strings TrainerMetadata() const;
  std::string Description() const;

  TrainOptions options_;
  RunFolder& folder_;
  TrainObserver& observer_;
  Communicator& others_;
  Vocabulary vocabulary_;
  Data data_;
  TrainableModel weights_;
  std::optional<DataParallel> parallel_;  // where there are other processes
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
  std::optional<Trouble> returned_;
  std::string why_;  // the last bad step was bad
  int64_t first_step_ = 0, last_save_step_ = 0;
  std::string processes_before_;  // of a resumed run: that saved the checkpoint
  double seconds_before_ = 0, last_save_seconds_ = 0;
  Clock::time_point start_ = Clock::now();
  double now_ = 0;  // seconds of the run, by the clock of the first process
  std::optional<double> val_loss_, ema_val_loss_;
  std::optional<double> sample_loss_;  // held out, of the present weights or their average
};

Run::Run(TrainOptions options, RunFolder& folder, const CheckpointFiles* from, TrainObserver& observer,
         Communicator& others, const Data& data)
    : options_(std::move(options)),
      folder_(folder),
      observer_(observer),
      others_(others),
      vocabulary_(data ? Vocabulary{options_.tokenizer, options_.vocab, {}}
                       : CompleteVocabulary(options_, folder.path())),
      data_(OpenShared(options_, vocabulary_, others, data)),
      weights_(StartingWeights(options_, from == nullptr ? fs::path() : from->weights)),
      optimizer_(TrainedHere(weights_, others, parallel_), OptimizerOptionsOf(options_, weights_)),
      recovery_(options_.spike),
      state_(weights_.model.NewState(static_cast<int>(options_.batch), State::Mode::kKeepInitial)),
      sample_(data_->HeldOut(SampleTokens(options_))),
      held_out_(data_->HeldOut(kFinalTokens)),
      eval_sample_(EvaluationSamples(options_.eval_data, DataOptionsOf(options_, vocabulary_),
                                     SampleTokens(options_))),
      eval_(EvaluationSamples(options_.eval_data, DataOptionsOf(options_, vocabulary_), kFinalTokens)),
      save_interval_(ParseSaveInterval(options_.save_every)),
      log_path_(options_.log.empty() ? folder.path() / "log.jsonl" : fs::path(options_.log)),
      data_identity_(DataIdentity(*data_)) {
  if (options_.ema > 0) average_.emplace(weights_, options_.ema);
  Check(weights_.model.vocab() >= vocabulary_.ids, "{}: has a vocabulary of {}, --tokenizer {} has {}",
        options_.init, weights_.model.vocab(), vocabulary_.name, vocabulary_.ids);
  CompleteOptions(options_, weights_.model);
  PinPaths(data == nullptr);
  for (const auto* held_out : {&sample_, &held_out_, &eval_sample_, &eval_})
    MakeRoom(weights_.model, *held_out, state_);
  if (from != nullptr) {
    const auto trainer = Checkpoint::Open(from->trainer);
    CheckSameData(data_identity_, Metadata(*trainer, "data"), from->trainer.string());
    counters_ = ReadCounters(*trainer);
    ReadRecovery(*trainer, recovery_);
    optimizer_.Restore(*trainer, counters_.updates);
    if (average_) average_->Restore(*Checkpoint::Open(from->average));
    if (others.rank() == 0) folder.PointAt(*from, counters_.best_step == counters_.step);
    const auto processes = trainer->metadata().find(kProcesses);
    if (processes != trainer->metadata().end()) processes_before_ = processes->second;
  }
  // Three checkpoints exist while the third replaces the first, and the best weights; a moment, a weight and
  // an average are 4 bytes each.
  uint64_t moments = 0, weights = 0;
  for (const Parameter& p : weights_.parameters()) moments += 8 * static_cast<uint64_t>(p.tensor.size());
  for (const NamedTensor& t : weights_.Contents()) weights += 4 * static_cast<uint64_t>(t.tensor.size());
  if (others.rank() == 0) folder.CheckSpace(3 * (moments + (average_ ? 2 : 1) * weights) + weights);
  first_step_ = last_save_step_ = counters_.step;
  seconds_before_ = last_save_seconds_ = now_ = counters_.seconds;
}

/// Makes the paths among the options good for resuming from anywhere. The log in the run's own folder goes
/// unnamed, so that it is found again when the folder has moved.
void Run::PinPaths(bool data_are_files) {
  if (data_are_files) {
    for (std::string& name : options_.data) name = fs::absolute(name).string();
  }
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

void Run::Tick() {
  now_ = others_.FromFirst(seconds_before_ + std::chrono::duration<double>(Clock::now() - start_).count());
}

/// Processes that share cores divide them evenly unless they are told otherwise.
void Run::SetThreadsOfProcess() const {
  if (options_.threads != 0) SetThreads(static_cast<int>(options_.threads));
  if (options_.threads == 0 && others_.size() > 1)
    SetThreads(std::max(1, PhysicalCores() / others_.sharers()));
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
  Tick();
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
                 .dropout = {static_cast<float>(options_.dropout), seed, static_cast<uint64_t>(drawn_as)},
                 .adapter_dropout = static_cast<float>(options_.lora_dropout)},
                parallel_ ? &*parallel_ : nullptr);
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
  record.firing_rate = outcome.firing_rate;
  record.tokens_per_s =
      static_cast<double>(tokens) / std::chrono::duration<double>(Clock::now() - start).count();
  ++counters_.step;
  counters_.updates = optimizer_.updates();
  Tick();
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
    record.sample = observer_.Sample(weights_, options_, record.step);
  }
}

/// Several processes take turns at the passes.
double Run::Loss(const std::vector<Samples>& passes) const {
  if (!parallel_) return MeanLoss(weights_.model, passes, state_, options_.chunk);
  double total = 0, targets = 0;
  for (size_t i = others_.rank(); i < passes.size(); i += others_.size()) {
    const auto count = static_cast<double>(CountTargets(passes[i]));
    total += count * MeanLoss(weights_.model, std::span(&passes[i], 1), state_, options_.chunk);
    targets += count;
  }
  return others_.Sum(total) / std::max(1.0, others_.Sum(targets));
}

void Run::MeasureHeldOut(StepRecord& record, bool last) {
  const std::vector<Samples>& samples = last ? held_out_ : sample_;
  record.val_loss = val_loss_ = Loss(samples);
  if (average_) {
    const WeightAverage::InUse average(*average_);
    record.ema_val_loss = ema_val_loss_ = Loss(samples);
  }
  if (!last) sample_loss_ = record.ema_val_loss.value_or(*record.val_loss);
  record.quality = observer_.Quality(weights_.model, samples);
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
  if (average_) parts.average = average_->Values();
  if (!sample_.empty() && recovery_.good()) {
    const double loss = HeldOutSample();
    parts.best = !counters_.best_loss || loss < *counters_.best_loss;
    if (parts.best) counters_.best_step = counters_.step, counters_.best_loss = loss;
  }
  counters_.threads = Threads();
  if (parallel_) {
    SaveTogether(parts);
  } else {
    parts.weights = ContentsOf(weights_.Contents(), WeightsMetadata());
    parts.trainer = ContentsOf(optimizer_.Moments(), TrainerMetadata());
    folder_.Save(parts);
  }
  Tick();
  last_save_step_ = counters_.step;
  last_save_seconds_ = Elapsed();
}

Strings Run::WeightsMetadata() const {
  const auto number = [](const std::optional<double>& loss) { return (loss ? json(*loss) : json()).dump(); };
  Strings metadata{{"linnet", options_.version},
                   {"architecture", options_.arch},
                   {"sizes", json(weights_.model.sizes).dump()},
                   {"tokenizer", options_.tokenizer},
                   {"training", Description()},
                   {"step", std::to_string(counters_.step)},
                   {"val_loss", number(val_loss_)}};
  metadata.insert(weights_.metadata.begin(), weights_.metadata.end());
  if (average_) metadata["ema_val_loss"] = number(ema_val_loss_);
  if (!data_->chat_template().empty()) metadata["chat_template"] = data_->chat_template();
  return metadata;
}

Strings Run::TrainerMetadata() const {
  return {{"settings", SettingsToJson(options_)},
          {"data", data_identity_},
          {"counters", ToJson(counters_)},
          {"recovery", recovery_.ToJson()},
          {kProcesses, std::to_string(others_.size())}};
}

/// The first process writes, and asks the others for what it does not have.
void Run::SaveTogether(CheckpointParts& parts) {
  DataParallel::Columns columns(3);  // moments and values of this process's share
  const std::vector<NamedTensor> moments = optimizer_.Moments();
  for (size_t i = 0; i < optimizer_.tensors().size(); ++i) {
    const Trained& trained = optimizer_.tensors()[i];
    columns[0].push_back(moments[2 * i].tensor);
    columns[1].push_back(moments[2 * i + 1].tensor);
    columns[2].push_back(trained.master ? trained.master : trained.parameter.tensor);
  }
  if (others_.rank() != 0) return parallel_->Serve(columns);
  parts.weights = parallel_->Whole({{"", 2}}, columns, WeightsMetadata());
  parts.trainer = parallel_->Whole({{"m.", 0}, {"v.", 1}}, columns, TrainerMetadata());
  folder_.Save(parts);
  parallel_->EndServing();
}

void Run::ReturnedFrom(const Trouble& before) {
  recovery_.ReturnFrom(before.recovery);
  counters_.data = before.counters.data;  // other documents than those that it met
  if (options_.minutes != 0) counters_.seconds = seconds_before_ = before.counters.seconds;
  returned_ = before;
}

/// Sums are added up process by process and thread by thread, so other numbers of these round otherwise.
void Run::WarnOfOtherSums() {
  const std::string processes = std::to_string(others_.size());
  if (!processes_before_.empty() && processes_before_ != processes) {
    return observer_.Message(
        fmt::format("resumed with {} processes what {} began: losses agree with theirs, but not to the bit",
                    processes, processes_before_));
  }
  if (counters_.threads == 0 || counters_.threads == Threads()) return;
  observer_.Message(
      fmt::format("the run had {} threads and now has {}: the losses to come may differ in their last digits "
                  "from those of a run that was never stopped; for the same ones give --threads {}",
                  counters_.threads, Threads(), counters_.threads));
}

/// What only one process does.
void Run::OpenLogs() {
  if (others_.rank() != 0) return;
  if (!options_.tensorboard.empty()) tensorboard_.emplace(options_.tensorboard, counters_.step);
  vocabulary_.KeepIn(folder_.path());
  log_.emplace(log_path_, counters_.step);
  if (returned_) log_->WriteReturn(counters_.step, returned_->counters.step, returned_->why);
}

std::optional<TrainResult> Run::Go() {
  SetThreadsOfProcess();
  OpenLogs();
  observer_.Started(
      {&options_, &weights_, data_.get(), first_step_, options_.minutes != 0 ? 0 : TotalSteps()});
  WarnOfOtherSums();
  if (options_.tune == "state" && options_.backprop == "truncated") {
    observer_.Message(fmt::format(
        "--backprop truncated ends gradients at the borders of chunks, so the states are learnt from "
        "the first {} tokens of each sample alone; --backprop exact learns from all",
        options_.chunk));
  }
  start_ = Clock::now();
  Tick();
  bool interrupted = false, last = Finished();
  while (!interrupted && !last) {
    StepRecord record = Step();
    last = Finished();  // asked once a step, as a run with a time limit answers by the clock
    Measure(record, last);
    if (log_) log_->Write(record);
    if (tensorboard_) tensorboard_->Write(record);
    if (recovery_.must_return()) return std::nullopt;
    observer_.StepDone(record, ProgressNow());
    interrupted = others_.Any(!last && observer_.StopRequested());
    if (interrupted || last || SaveDue()) Save();
  }
  return TrainResult{interrupted, counters_.step, val_loss_, folder_.model(), log_path_};
}

/// Trains from a checkpoint, or from the start where `from` is null, returning to earlier ones as need be.
TrainResult RunToTheEnd(const TrainOptions& options, RunFolder& folder, const CheckpointFiles* from,
                        TrainObserver& observer, Communicator& others, const Data& data) {
  std::optional<Trouble> trouble;
  CheckpointFiles back;
  while (true) {
    std::optional<Run> run;  // one at a time, as each holds all the memory
    others.Together([&] { run.emplace(options, folder, from, observer, others, data); });
    if (trouble) run->ReturnedFrom(*trouble);
    if (const auto result = run->Go()) return *result;
    trouble = run->WhyReturn();
    if (others.size() > 1) EndTogether(options.out, folder, *trouble);
    back = CheckpointToReturnTo(folder, *trouble);
    folder.ReturnTo(back);
    observer.Message(
        fmt::format("{} steps in a row were skipped: returning to the checkpoint of step {}, to go "
                    "on with other data",
                    Recovery::kMostBad, back.step));
    from = &back;
  }
}

/// The folder of the run, checked to have a checkpoint where one is to go on and none where it begins.
void OpenFolder(const TrainOptions& asked, RunFolder::Access access, std::optional<RunFolder>& folder) {
  Check(!asked.out.empty(), "the folder of the run is missing; give --out DIR");
  Check(!asked.resume || fs::is_directory(asked.out), "{}: there is no such folder to resume a run from",
        asked.out);
  folder.emplace(asked.out, access);
  const bool saved = !folder->Checkpoints().empty();
  Check(!asked.resume || saved, "{}: holds no checkpoint to resume from; leave --resume out", asked.out);
  Check(asked.resume || !saved,
        "{}: holds the checkpoints of another run; go on with it with --resume, or give another --out",
        asked.out);
}

}  // namespace

int64_t SampleTokens(const TrainOptions& options) {
  return std::clamp<int64_t>(2 * options.tokens_per_step(), 2048, 8192);
}

TrainResult Train(const TrainOptions& asked, TrainObserver& observer, Communicator& others, Data data) {
  std::optional<RunFolder> folder;
  others.Together([&] {  // one process locks the folder before the others look at it
    if (!asked.resume) CheckOptions(asked);
    if (others.rank() == 0) OpenFolder(asked, RunFolder::Access::kWrite, folder);
  });
  TrainOptions options = asked;
  std::optional<CheckpointFiles> newest;
  others.Together([&] {
    if (others.rank() != 0) OpenFolder(asked, RunFolder::Access::kRead, folder);
    if (asked.resume) {
      newest = folder->Checkpoints().back();
      const auto trainer = Checkpoint::Open(newest->trainer);
      options = AdoptSettings(asked, Metadata(*trainer, "settings"), newest->trainer.string());
      CheckOptions(options);
    }
    if (!options.over_memory) CheckMemory(options);
  });
  return RunToTheEnd(options, *folder, newest ? &*newest : nullptr, observer, others, data);
}

}  // namespace linnet

#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/parallel.h"
#include "train/checkpointing.h"
#include "train/plan.h"
#include "train/schedule.h"
#include "train/step.h"
#include "train/tensorboard.h"
#include "train/vocabulary.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr int kMostSkipped = 5;  // steps in a row

/// Where a run stands, beside weights and moments.
struct Counters {
  int64_t step = 0;     // the next one
  DataPosition data;    // where it goes on
  int64_t updates = 0;  // steps that were not skipped
  int skipped = 0;      // in a row, up to now
  double seconds = 0;
};

std::string ToJson(const Counters& c) {
  return json{{"step", c.step},
              {"data", {c.data.epoch, c.data.document, c.data.token}},
              {"updates", c.updates},
              {"skipped", c.skipped},
              {"seconds", c.seconds}}
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
    const json counters = json::parse(Metadata(trainer, "counters"));
    const json data = counters.value("data", json{0, 0, 0});  // checkpoints of old have none
    return {counters.at("step"),
            {data.at(0), data.at(1), data.at(2)},
            counters.at("updates"),
            counters.at("skipped"),
            counters.at("seconds")};
  } catch (const json::exception&) {
    Fail("{}: the counters of its run cannot be read", trainer.path().string());
  }
}

/// The data as the checkpoint remembers it: names and lengths, which must not change under a run.
std::string Describe(const Dataset& data) {
  json files = json::array();
  for (const Dataset::File& file : data.files()) {
    files.push_back({{"name", file.path.filename().string()}, {"bytes", file.bytes}});
  }
  return files.dump();
}

void CheckSameData(const Dataset& data, const Checkpoint& trainer) {
  const std::string &saved = Metadata(trainer, "data"), now = Describe(data);
  Check(saved == now,
        "--data is {} but the run to resume learnt from {} ({}); give the same files, or start another run "
        "with a new "
        "--out",
        now, saved, trainer.path().string());
}

class Run {
 public:
  /// `from` is the checkpoint to go on with, or null.
  Run(TrainOptions options, RunFolder& folder, const CheckpointFiles* from, TrainObserver& observer);
  TrainResult Go();

 private:
  void PinPaths();
  int64_t TotalSteps() const;
  double Fraction() const;
  bool Finished() const;
  bool SaveDue() const;
  double Elapsed() const;
  StepRecord Step();
  void CountSkips(const StepRecord& record);
  void Measure(StepRecord& record, bool last);
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
  State state_;
  std::vector<Samples> sample_, held_out_;
  std::vector<Samples> eval_sample_, eval_;  // the same of --eval-data
  SaveInterval save_interval_;
  fs::path log_path_;
  std::optional<RunLog> log_;
  std::optional<TensorBoard> tensorboard_;
  Counters counters_;
  int64_t first_step_ = 0, last_save_step_ = 0;
  double seconds_before_ = 0, last_save_seconds_ = 0;
  Clock::time_point start_;
  std::optional<double> val_loss_;
};

Run::Run(TrainOptions options, RunFolder& folder, const CheckpointFiles* from, TrainObserver& observer)
    : options_(std::move(options)),
      folder_(folder),
      observer_(observer),
      vocabulary_(CompleteVocabulary(options_, folder.path())),
      data_(OpenDataset(options_.data, DataOptionsOf(options_, vocabulary_))),
      weights_(StartingWeights(options_, from == nullptr ? fs::path(options_.init) : from->weights)),
      optimizer_(weights_, {options_.betas[0], options_.betas[1], options_.eps, options_.wd}),
      state_(weights_.model.NewState(static_cast<int>(options_.batch), State::Mode::kKeepInitial)),
      sample_(data_->HeldOut(SampleTokens(options_))),
      held_out_(data_->HeldOut(kFinalTokens)),
      eval_sample_(EvaluationSamples(options_.eval_data, DataOptionsOf(options_, vocabulary_), SampleTokens(options_))),
      eval_(EvaluationSamples(options_.eval_data, DataOptionsOf(options_, vocabulary_), kFinalTokens)),
      save_interval_(ParseSaveInterval(options_.save_every)),
      log_path_(options_.log.empty() ? folder.path() / "log.jsonl" : fs::path(options_.log)) {
  Check(weights_.model.vocab() >= vocabulary_.ids, "{}: has a vocabulary of {}, --tokenizer {} has {}",
        options_.init, weights_.model.vocab(), vocabulary_.name, vocabulary_.ids);
  CompleteOptions(options_, weights_.model);
  PinPaths();
  for (const auto* held_out : {&sample_, &held_out_, &eval_sample_, &eval_}) MakeRoom(weights_.model, *held_out, state_);
  if (from != nullptr) {
    const auto trainer = Checkpoint::Open(from->trainer);
    CheckSameData(*data_, *trainer);
    counters_ = ReadCounters(*trainer);
    optimizer_.Restore(*trainer, counters_.updates);
  }
  // Three checkpoints exist while the third replaces the first; weights and two moments are 12 bytes a
  // parameter.
  folder.CheckSpace(3 * 12 * static_cast<uint64_t>(weights_.model.params->count()));
  first_step_ = last_save_step_ = counters_.step;
  seconds_before_ = last_save_seconds_ = counters_.seconds;
}

/// Makes the paths among the options good for resuming from anywhere. The log in the run's own folder goes
/// unnamed, so that it is found again when the folder has moved.
void Run::PinPaths() {
  for (std::string& name : options_.data) name = fs::absolute(name).string();
  const auto pinned = [](const fs::path& path) { return fs::weakly_canonical(fs::absolute(path)); };
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

bool Run::SaveDue() const {
  if (save_interval_.steps > 0) return counters_.step - last_save_step_ >= save_interval_.steps;
  return save_interval_.seconds > 0 && Elapsed() - last_save_seconds_ >= save_interval_.seconds;
}

double Run::LearningRateNow() const {
  const Schedule schedule{options_.lr, options_.final_lr(), options_.warmup};
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
  std::vector<Samples> batches = data_->Draw(counters_.step, counters_.data);
  size_t tokens = 0;
  for (Samples& samples : batches) {
    samples.batch.recompute = options_.recompute;
    tokens += samples.targets.size();
  }
  MakeRoom(weights_.model, batches, state_);
  const StepOutcome outcome = TrainStep(weights_.model, optimizer_, batches, state_, record.lr,
                                        {.clip = options_.clip,
                                         .l2_wrap = options_.l2_wrap,
                                         .chunking = {options_.chunk, options_.backprop == "truncated"}});
  record.loss = outcome.loss;
  record.gradient_norm = outcome.gradient_norm;
  record.skipped = outcome.skipped;
  record.tokens_are_bytes = options_.tokenizer == "bytes";
  record.tokens_per_s =
      static_cast<double>(tokens) / std::chrono::duration<double>(Clock::now() - start).count();
  ++counters_.step;
  counters_.updates = optimizer_.updates();
  counters_.skipped = outcome.skipped ? counters_.skipped + 1 : 0;
  counters_.seconds = record.seconds = Elapsed();
  return record;
}

void Run::CountSkips(const StepRecord& record) {
  if (!record.skipped) return;
  observer_.Message(fmt::format("step {} was skipped: {} is not a finite number", record.step,
                                std::isfinite(record.loss) ? "the gradient" : "the loss"));
  if (counters_.skipped < kMostSkipped) return;
  const std::vector<CheckpointFiles> saved = folder_.Checkpoints();
  const std::string last = saved.empty() ? "no checkpoint was saved yet"
                                         : "the last good checkpoint is " + saved.back().weights.string();
  Fail("the loss was not a finite number for {} steps in a row, up to step {}; {}; try a lower --lr",
       kMostSkipped, record.step, last);
}

/// The losses on what is not learnt where they are due, on a fixed sample now and then, on (nearly) all of
/// it at the end; and a sample of what the model writes.
void Run::Measure(StepRecord& record, bool last) {
  const bool due = last || (options_.val_every > 0 && counters_.step % options_.val_every == 0);
  if (!held_out_.empty() && due) {
    record.val_loss = val_loss_ = MeanLoss(weights_.model, last ? held_out_ : sample_, state_, options_.chunk);
  }
  if (!eval_.empty() && due) {
    record.eval_loss = MeanLoss(weights_.model, last ? eval_ : eval_sample_, state_, options_.chunk);
  }
  if (options_.sample_every > 0 && (last || counters_.step % options_.sample_every == 0)) {
    record.sample = observer_.Sample(weights_.model, options_, record.step);
  }
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
  settings["data"] = json::parse(Describe(*data_));
  for (const char* key :
       {"log", "tensorboard", "eval-data", "sample-every", "sample-prompt", "sample-tokens"}) {
    settings.erase(key);
  }
  return settings.dump();
}

void Run::Save() {
  if (counters_.step == last_save_step_) return;
  std::vector<NamedTensor> weights;
  for (size_t i = 0; i < weights_.parameters().size(); ++i) {
    weights.push_back({weights_.parameters()[i].name, weights_.values(i)});
  }
  const json val_loss = val_loss_ ? json(*val_loss_) : json(nullptr);
  RunFolder::Strings metadata{{"linnet", options_.version},
                              {"architecture", options_.arch},
                              {"sizes", json(weights_.model.sizes).dump()},
                              {"tokenizer", options_.tokenizer},
                              {"training", Description()},
                              {"step", std::to_string(counters_.step)},
                              {"val_loss", val_loss.dump()}};
  if (!data_->chat_template().empty()) metadata["chat_template"] = data_->chat_template();
  folder_.Save(
      counters_.step, weights, metadata, optimizer_.Moments(),
      {{"settings", SettingsToJson(options_)}, {"data", Describe(*data_)}, {"counters", ToJson(counters_)}});
  last_save_step_ = counters_.step;
  last_save_seconds_ = Elapsed();
}

TrainResult Run::Go() {
  if (options_.threads != 0) SetThreads(static_cast<int>(options_.threads));
  if (!options_.tensorboard.empty()) tensorboard_.emplace(options_.tensorboard, counters_.step);
  vocabulary_.KeepIn(folder_.path());
  log_.emplace(log_path_, counters_.step);
  observer_.Started(
      {&options_, &weights_, data_.get(), first_step_, options_.minutes != 0 ? 0 : TotalSteps()});
  start_ = Clock::now();
  bool interrupted = false, last = Finished();
  while (!interrupted && !last) {
    StepRecord record = Step();
    last = Finished();  // asked once a step, as a run with a time limit answers by the clock
    Measure(record, last);
    log_->Write(record);
    if (tensorboard_) tensorboard_->Write(record);
    CountSkips(record);
    observer_.StepDone(record, ProgressNow());
    interrupted = !last && observer_.StopRequested();
    if (interrupted || last || SaveDue()) Save();
  }
  return {interrupted, counters_.step, val_loss_, folder_.model(), log_path_};
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
    return Run(asked, folder, nullptr, observer).Go();
  }
  const CheckpointFiles& newest = saved.back();
  const auto trainer = Checkpoint::Open(newest.trainer);
  const TrainOptions options = AdoptSettings(asked, Metadata(*trainer, "settings"), newest.trainer.string());
  CheckOptions(options);
  if (!options.over_memory) CheckMemory(options);
  return Run(options, folder, &newest, observer).Go();
}

}  // namespace linnet

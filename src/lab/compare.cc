#include "lab/compare.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/file.h"
#include "formats/safetensors.h"
#include "lab/results.h"
#include "lab/task_data.h"

namespace linnet::lab {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kTestTokens = 1 << 20;    // at most, but
constexpr int64_t kFewestTests = 200;       // sequences at least
constexpr int64_t kMostTests = 2000;        // and at most, where they are short
constexpr int64_t kMeasurements = 20;       // of the validation part in a run
constexpr int64_t kStepsOfClockedRun = 50;  // between those of a run that ends by the clock
constexpr double kGridPart = 0.1;           // of the budget, for a run of the grid

constexpr const char* kStart = "start.safetensors";  // of a run, until it is done

/// A run as it is to be: one of the grid, or a whole one.
struct Plan {
  fs::path folder;
  std::string title;
  double rate;
  int64_t seed;
  bool whole;
};

int64_t Some(int64_t whole, double part) {
  return std::max<int64_t>(1, std::llround(static_cast<double>(whole) * part));
}

/// Watches a run: hands on what happens, measures quality, and ends it when it is good enough.
class Watcher : public TrainObserver {
 public:
  Watcher(const CompareOptions& options, const Task& task, const std::string& title,
          CompareObserver& observer)
      : options_(options), task_(task), title_(title), observer_(observer) {}

  void StepDone(const StepRecord& record, const Progress& progress) override {
    bad_ = record.skipped ? bad_ + 1 : 0;
    observer_.StepDone(title_, record, progress);
  }
  std::optional<double> Quality(const LoadedModel& model, const std::vector<Samples>& held_out) override {
    if (task_.quality() == lab::Quality::kBitsPerByte) return std::nullopt;  // which is the loss
    const double quality = Judge(model, task_, held_out).quality(task_.quality());
    const bool better =
        HigherIsBetter(task_.quality()) ? quality >= options_.until : quality <= options_.until;
    solved_ = options_.until > 0 && better;
    return quality;
  }
  bool StopRequested() override {
    stopped_ = observer_.StopRequested();
    return stopped_ || solved_;
  }

  bool solved() const { return solved_; }
  bool stopped() const { return stopped_; }
  /// Whether the last steps were skipped, as their losses were no numbers.
  bool diverged() const { return bad_ >= 2; }

 private:
  const CompareOptions& options_;
  const Task& task_;
  const std::string& title_;
  CompareObserver& observer_;
  int bad_ = 0;
  bool solved_ = false, stopped_ = false;
};

class Comparer {
 public:
  Comparer(const CompareOptions& options, CompareObserver& observer);
  /// False if the observer asked to stop.
  bool Go();
  Comparison& comparison() { return comparison_; }

 private:
  std::string Settings() const;
  void CheckFolder() const;
  bool Grid(ArchitectureResult& result);
  bool Seeds(ArchitectureResult& result);
  std::optional<RunResult> Run(const ArchitectureResult& of, const Plan& plan);
  TrainOptions Options(const Plan& plan) const;
  fs::path WriteStart(const ArchitectureResult& of, const Plan& plan) const;
  RunResult Finish(const ArchitectureResult& of, const Plan& plan, const TrainResult& trained,
                   bool solved) const;
  void ReadCurve(const fs::path& log, RunResult& result) const;

  CompareOptions options_;
  CompareObserver& observer_;
  NamedTask named_;
  std::shared_ptr<const Task> task_;
  std::vector<fs::path> files_;
  int64_t batch_;
  Comparison comparison_;
};

void CheckCompareOptions(const CompareOptions& o) {
  Check(!o.architectures.empty(), "there is nothing to compare; give --arch A,B,...");
  const int budgets = (o.tokens > 0) + (o.steps > 0) + (o.minutes > 0);
  Check(budgets == 1, "give one budget: --budget tokens=10M, steps=800 or minutes=5");
  Check(!o.rates.empty(), "there is no learning rate; give --lr 1e-3 or several");
  Check(o.seeds >= 1, "--seeds must be at least 1");
  for (size_t i = 0; i < o.architectures.size(); ++i) {
    const bool again = std::ranges::count(o.architectures, o.architectures[i]) > 1;
    Check(!again, "--arch names {} twice", o.architectures[i]);
  }
}

Comparer::Comparer(const CompareOptions& options, CompareObserver& observer)
    : options_(options),
      observer_(observer),
      named_(MakeTask(options.task, options.data)),
      task_(std::move(named_.task)),
      files_(options.data.begin(), options.data.end()),
      batch_(options.batch > 0 ? options.batch : named_.kind->batch) {
  CheckCompareOptions(options);
  comparison_ = {named_.name, task_->quality(), batch_, task_->length(), {}};
  for (const std::string& name : options.architectures) {
    ArchitectureResult result;
    result.contestant = ParseContestant(name);
    result.model =
        SizeToFit(result.contestant, options.layers, task_->vocab(), task_->length(), options.parameters);
    observer.Sized(result);
    comparison_.results.push_back(std::move(result));
  }
  CheckFolder();
}

/// All that a result depends on but the architecture and the seed.
std::string Comparer::Settings() const {
  const CompareOptions& o = options_;
  std::vector<std::string> files;
  for (const fs::path& file : files_) files.push_back(fs::absolute(file).string());
  return nlohmann::ordered_json{{"task", comparison_.task},   {"data", files},
                                {"parameters", o.parameters}, {"layers", o.layers},
                                {"tokens", o.tokens},         {"steps", o.steps},
                                {"minutes", o.minutes},       {"batch", batch_},
                                {"rates", o.rates},           {"wd", o.wd},
                                {"until", o.until},           {"precision", o.precision}}
             .dump(1) +
         "\n";
}

void Comparer::CheckFolder() const {
  Check(!options_.out.empty(), "there is no place for the runs; give -o DIR");
  const fs::path file = options_.out / "compare.json";
  if (fs::exists(file)) {
    Check(ReadFile(file) == Settings(),
          "{}: holds a comparison with other settings ({} has them); give another -o", options_.out.string(),
          file.string());
    return;
  }
  std::error_code error;
  fs::create_directories(options_.out, error);
  Check(!error, "{}: cannot be made: {}", options_.out.string(), error.message());
  WriteFile(file, Settings());
}

bool Comparer::Go() {
  for (ArchitectureResult& result : comparison_.results) {
    if (!Grid(result) || !Seeds(result)) return false;
  }
  return true;
}

/// Finds the learning rate; a single one needs no finding.
bool Comparer::Grid(ArchitectureResult& result) {
  result.rate = options_.rates.front();
  if (options_.rates.size() == 1) return true;
  double best = std::numeric_limits<double>::infinity();
  for (double rate : options_.rates) {
    const std::string name = fmt::format("lr-{:g}", rate);
    const auto run = Run(result, {options_.out / "runs" / result.contestant.name / name,
                                  fmt::format("{}, lr {:g}", result.contestant.name, rate), rate, 1, false});
    if (!run) return false;
    result.grid.push_back(*run);
    if (!run->failure.empty() || !(run->validation_loss < best)) continue;
    best = run->validation_loss;
    result.rate = rate;
  }
  return true;
}

bool Comparer::Seeds(ArchitectureResult& result) {
  for (int64_t seed = 1; seed <= options_.seeds; ++seed) {
    const auto run =
        Run(result, {options_.out / "runs" / result.contestant.name / fmt::format("seed-{}", seed),
                     fmt::format("{}, seed {}", result.contestant.name, seed), result.rate, seed, true});
    if (!run) return false;
    result.runs.push_back(*run);
  }
  return true;
}

TrainOptions Comparer::Options(const Plan& plan) const {
  const double part = plan.whole ? 1 : kGridPart;
  TrainOptions o;
  o.vocab = task_->vocab();
  o.tokenizer = task_->quality() == Quality::kBitsPerByte ? "bytes" : "task";
  o.data = {comparison_.task};
  o.ctx = task_->length(), o.batch = batch_;
  o.seed = plan.seed;
  if (options_.minutes > 0) o.minutes = options_.minutes * part;
  if (options_.steps > 0) o.steps = Some(options_.steps, part);
  if (options_.tokens > 0) o.steps = Some((options_.tokens + o.ctx * o.batch - 1) / (o.ctx * o.batch), part);
  o.lr = plan.rate, o.lr_final = plan.rate / 20, o.wd = options_.wd;
  o.warmup = o.steps > 0 ? std::min<int64_t>(50, o.steps / 10) : 50;
  // Losses of tasks fall all at once, which is no spike; nor do all architectures want a penalty on logits.
  o.spike = 0, o.l2_wrap = 0;
  o.val_every = o.steps > 0 ? std::max<int64_t>(1, o.steps / kMeasurements) : kStepsOfClockedRun;
  o.precision = options_.precision;
  o.threads = options_.threads;
  o.out = plan.folder.string();
  o.version = options_.version;
  return o;
}

void Comparer::ReadCurve(const fs::path& log, RunResult& result) const {
  const int64_t step_tokens = task_->length() * batch_;
  std::vector<double> speeds;
  for (const StepRecord& record : ReadLog(log)) {
    speeds.push_back(record.tokens_per_s);
    result.steps = record.step + 1;
    result.seconds = record.seconds;
    if (!record.val_loss) continue;
    result.curve.push_back({result.steps * step_tokens, record.seconds, *record.val_loss,
                            record.quality.value_or(BitsPerByte(*record.val_loss))});
  }
  result.tokens = result.steps * step_tokens;
  result.tokens_per_s = Median(std::move(speeds));
}

/// The model that the run begins with, as a file: sizes of all kinds are in it.
fs::path Comparer::WriteStart(const ArchitectureResult& of, const Plan& plan) const {
  const LoadedModel model =
      NewModel(*of.contestant.architecture, of.model.sizes, static_cast<uint64_t>(plan.seed));
  std::vector<NamedTensor> tensors;
  for (const Parameter& p : model.params->parameters()) tensors.push_back({p.name, p.tensor});
  fs::create_directories(plan.folder);
  WriteSafetensors(plan.folder / kStart, tensors, {});
  return plan.folder / kStart;
}

/// Judges what a run has made.
RunResult Comparer::Finish(const ArchitectureResult& of, const Plan& plan, const TrainResult& trained,
                           bool solved) const {
  RunResult result;
  result.rate = plan.rate, result.seed = plan.seed, result.solved = solved;
  ReadCurve(trained.log, result);
  Sizes chosen;  // that files do not hold
  if (of.model.sizes.contains("context")) chosen["context"] = of.model.sizes.at("context");
  const LoadedModel model = LoadModel(trained.model, MatrixType::kStored, Access::kRead, chosen);
  if (trained.val_loss) {
    result.validation_loss = *trained.val_loss;
  } else {  // it had come to its end before, and was killed just then
    const int64_t count = std::max(kFewestTests, kFinalTokens / task_->length());
    result.validation_loss =
        Judge(model, *task_, HeldOutSamples(*task_, Part::kValidation, count, batch_)).loss;
  }
  if (!plan.whole) return result;
  const int64_t tests = std::clamp(kTestTokens / task_->length(), kFewestTests,
                                   task_->quality() == Quality::kBitsPerByte ? kTestTokens : kMostTests);
  const std::vector<Samples> test = HeldOutSamples(*task_, Part::kTest, tests, batch_);
  result.score = Judge(model, *task_, test);
  // Where all of the test part was judged, its windows are one text.
  if (task_->quality() == Quality::kBitsPerByte && tests >= task_->held_out() &&
      !model.sizes.contains("context")) {
    result.carried = CarriedBits(model, test, task_->length());
  }
  result.running = MeasureRunning(model, task_->Draw(Part::kTest, 0, 0).tokens);
  return result;
}

/// Removes what a run needs no more when there is its result.
void RemoveCheckpoints(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name != "log.jsonl" && name != "result.json") fs::remove_all(entry.path());
  }
}

bool HasCheckpoint(const fs::path& folder) {
  if (!fs::is_directory(folder)) return false;
  return std::ranges::any_of(fs::directory_iterator(folder), [](const auto& entry) {
    const std::string name = entry.path().filename().string();
    return name.starts_with("checkpoint-") && name.ends_with(".safetensors") &&
           name.find(".trainer.") == std::string::npos;
  });
}

/// A run from wherever it is; none if it was to stop.
std::optional<RunResult> Comparer::Run(const ArchitectureResult& of, const Plan& plan) {
  const fs::path file = plan.folder / "result.json";
  if (fs::exists(file)) {
    RunResult result = ParseRunResult(ReadFile(file), file.string());
    observer_.RunDone(plan.title, result, true);
    return result;
  }
  if (observer_.StopRequested()) return std::nullopt;
  TrainOptions options = Options(plan);
  options.resume = HasCheckpoint(plan.folder);
  if (!options.resume) {
    fs::remove_all(plan.folder);  // of a run that ended before it had saved anything
    options.init = WriteStart(of, plan).string();
  }
  Watcher watcher(options_, *task_, plan.title, observer_);
  RunResult result;
  try {
    const auto data = std::make_shared<TaskData>(task_, files_, batch_, static_cast<uint64_t>(plan.seed));
    const TrainResult trained = Train(options, watcher, Alone(), data);
    if (trained.interrupted && watcher.stopped()) return std::nullopt;
    result = Finish(of, plan, trained, watcher.solved());
  } catch (const Error& error) {
    if (!watcher.diverged()) throw;
    result.rate = plan.rate, result.seed = plan.seed, result.failure = error.what();
    result.validation_loss = std::numeric_limits<double>::quiet_NaN();
  }
  WriteFile(file, ToJson(result));
  fs::remove(plan.folder / kStart);
  if (!plan.whole) RemoveCheckpoints(plan.folder);
  observer_.RunDone(plan.title, result, false);
  return result;
}

}  // namespace

std::optional<Comparison> Compare(const CompareOptions& options, CompareObserver& observer) {
  Comparer comparer(options, observer);
  if (!comparer.Go()) return std::nullopt;
  WriteFile(options.out / "results.json", ToJson(comparer.comparison()));
  return std::move(comparer.comparison());
}

}  // namespace linnet::lab

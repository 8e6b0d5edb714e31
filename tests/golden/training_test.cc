// Training against the reference (golden part B): loss and gradients of the first step, twenty steps of
// AdamW, the final weights, and the statistics of fresh models.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "golden/golden.h"
#include "train/schedule.h"
#include "train/step.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

json ReadJson(const fs::path& path) {
  std::ifstream file(path);
  return json::parse(file);
}

double Norm(const std::vector<double>& values) {
  double sum = 0;
  for (double x : values) sum += x * x;
  return std::sqrt(sum);
}

std::vector<double> AsDoubles(const Tensor& t) { return std::vector<double>(t.data(), t.data() + t.size()); }

/// One of the training cases: the model to start from, and the batches of its steps.
class TrainingCase {
 public:
  explicit TrainingCase(const fs::path& folder)
      : folder_(folder),
        info(ReadJson(folder / "info.json")),
        expected(Checkpoint::Open(folder / "expected.safetensors")),
        data_(expected->Load("data_tokens")) {}

  TrainableModel Model() const { return LoadTrainable(folder_ / "init.fp32.pth", MatrixType::kF32); }
  int batch() const { return static_cast<int>(data_.dim(1)); }
  State NewState(const TrainableModel& weights) const {
    return weights.model.NewState(batch(), State::Mode::kKeepInitial);
  }

  /// data_tokens is [steps, batch, T + 1].
  Samples Step(Dim step) const {
    const Dim length = data_.dim(2);
    Samples samples;
    for (int s = 0; s < batch(); ++s) {
      const int32_t* row = data_.data<int32_t>() + (step * batch() + s) * length;
      samples.batch.Append({row, row + length - 1}, s);
      samples.targets.insert(samples.targets.end(), row + 1, row + length);
    }
    return samples;
  }

 private:
  fs::path folder_;

 public:
  json info;
  std::unique_ptr<Checkpoint> expected;

 private:
  Tensor data_;
};

/// Holds a tensor against the sums that the reference kept of it. `tolerance` is relative to the tensor's
/// norm and, for single elements, to its largest one or `element_floor`. Returns the worst error seen.
double ExpectFingerprint(const std::vector<double>& values, const json& print, double tolerance,
                         const std::string& name) {
  const double norm = print.at("l2"), largest = print.at("maxabs");
  double sum = 0, dot = 0, maximum = 0, worst = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    sum += values[i];
    dot += values[i] * std::cos(0.1 * static_cast<double>(i) + 0.5);
    maximum = std::max(maximum, std::abs(values[i]));
  }
  const auto expect = [&](double actual, double reference, double scale, const char* what) {
    const double error = std::abs(actual - reference) / std::max(scale, 1e-12);
    EXPECT_LE(error, tolerance) << name << ": " << what << " is " << actual << ", not " << reference;
    worst = std::max(worst, error);
  };
  expect(Norm(values), norm, norm, "the norm");
  expect(sum, print.at("sum"), norm, "the sum");
  expect(dot, print.at("dot_cos"), norm, "the product with a cosine");
  expect(maximum, largest, largest, "the largest element");
  const json &first = print.at("first"), &last = print.at("last");
  for (size_t i = 0; i < first.size(); ++i) expect(values[i], first[i], largest, "a first element");
  for (size_t i = 0; i < last.size(); ++i) {
    expect(values[values.size() - last.size() + i], last[i], largest, "a last element");
  }
  return worst;
}

/// The gradients of step 0, with or without the penalty on large logits ("grad_l2wrap", "grad_nol2wrap").
void ExpectFirstGradients(const TrainingCase& c, const std::string& kind, double l2_wrap) {
  const TrainableModel weights = c.Model();
  const double loss = ForwardBackward(weights.model, c.Step(0), c.NewState(weights), l2_wrap);
  EXPECT_NEAR(loss, c.info["step0"]["loss_f64"].get<double>(), 1e-5);
  double worst = 0, worst_print = 0;
  for (const Parameter& p : weights.parameters()) {
    ASSERT_TRUE(p.tensor.grad()) << p.name;
    const std::vector<double> gradient = AsDoubles(p.tensor.grad());
    const json& print = c.info["step0"][kind + "_fingerprint"].at(p.name);
    worst_print = std::max(worst_print, ExpectFingerprint(gradient, print, 1e-4, p.name));
    if (c.expected->Find(kind + "." + p.name) == nullptr) continue;
    std::vector<double> difference = golden::Values(*c.expected, kind + "." + p.name);
    const double norm = Norm(difference);
    for (size_t i = 0; i < gradient.size(); ++i) difference[i] -= gradient[i];
    const double error = Norm(difference) / std::max(norm, 1e-12);
    EXPECT_LE(error, 1e-4) << p.name;
    worst = std::max(worst, error);
  }
  fmt::print("  {}: worst relative error {:.1e}, of fingerprints {:.1e}\n", kind, worst, worst_print);
}

/// The groups of the optimizer against those that the reference made.
void ExpectGroups(const TrainingCase& c) {
  const TrainableModel weights = c.Model();
  std::map<std::pair<double, bool>, std::set<std::string>> ours, theirs;
  for (const ParameterGroup& group : Groups(weights.parameters(), Layerwise::kOn)) {
    ours[{group.lr_scale, group.decays}].insert(group.names.begin(), group.names.end());
  }
  const auto& ignored = weights.model.architecture->ignored;
  for (const json& group : c.info["runs"]["reference"]["groups"]) {
    const std::pair<double, bool> kind{group["my_lr_scale"], group["weight_decay"] != 0.0};
    for (const std::string name : group["names"]) {
      if (std::ranges::find(ignored, name) == ignored.end()) theirs[kind].insert(name);
    }
  }
  EXPECT_EQ(ours, theirs);
}

/// One of the reference's runs of twenty steps.
void ExpectRun(const TrainingCase& c, const std::string& name, const json& run) {
  const json& config = run["config"];
  const bool constant = config["schedule"] == "const";
  const double lr = config["lr_init"];
  const TrainableModel weights = c.Model();
  const TrainingDefaults defaults = DefaultsOf(weights.model.architecture->name);
  EXPECT_EQ(defaults.eps, config["eps"].get<double>());
  const Schedule schedule{lr, constant ? lr : config["lr_final"].get<double>(),
                          constant ? 0 : config["warmup"].get<int64_t>(), defaults.warmup_start};
  const int64_t tokens = config["B"].get<int64_t>() * config["T"].get<int64_t>();
  const State state = c.NewState(weights);
  Optimizer optimizer(weights,
                      {config["betas"][0], config["betas"][1], defaults.eps, config["weight_decay"]});
  const StepOptions options{.clip = config["clip"], .l2_wrap = config["l2wrap"].get<bool>() ? 1e-4 : 0.0};

  const int64_t steps = config["steps"];
  double worst_loss = 0, worst_norm = 0, worst_weight = 0;
  for (int64_t step = 0; step < steps; ++step) {
    const double progress =
        constant ? 0 : TokenProgress(schedule, step, tokens, config["exit_tokens"].get<int64_t>());
    const double now = LearningRate(schedule, step, progress), expected_lr = run["lr"][step];
    EXPECT_NEAR(now, expected_lr, 1e-12 * lr) << name << " step " << step;
    const std::vector<Samples> batch{c.Step(step)};
    const StepOutcome outcome = TrainStep(weights.model, optimizer, batch, state, now, options);
    const double expected_loss = run["loss_f64"][step], expected_norm = run["grad_norm_f64"][step];
    EXPECT_NEAR(outcome.loss, expected_loss, 1e-4) << name << " step " << step;
    EXPECT_NEAR(outcome.gradient_norm / expected_norm, 1, 1e-4) << name << " step " << step;
    worst_loss = std::max(worst_loss, std::abs(outcome.loss - expected_loss));
    worst_norm = std::max(worst_norm, std::abs(outcome.gradient_norm / expected_norm - 1));
  }
  for (size_t i = 0; i < weights.parameters().size(); ++i) {
    const std::string& tensor = weights.parameters()[i].name;
    const json& print = run["final_fingerprint_f64"].at(tensor);
    worst_weight = std::max(
        worst_weight, ExpectFingerprint(AsDoubles(weights.values(i)), print, 3e-4, name + " " + tensor));
  }
  const std::vector<Samples> last{c.Step(steps - 1)};
  EXPECT_NEAR(MeanLoss(weights.model, last, state),
              run["loss_on_last_batch_after_training_f64"].get<double>(), 1e-4);
  fmt::print("  {}: worst loss error {:.1e}, gradient norm {:.1e}, final weights {:.1e}\n", name, worst_loss,
             worst_norm, worst_weight);
}

/// The cases that this version can train; says which it leaves out.
std::vector<fs::path> TrainableCases() {
  std::vector<fs::path> cases;
  for (const fs::path& folder : golden::Cases("B_training")) {
    const std::string version = ReadJson(folder / "info.json")["version"];
    if (golden::Runs(version)) {
      cases.push_back(folder);
    } else {
      fmt::print("  {} is left out: RWKV-{} is not trained by this version\n", folder.filename().string(),
                 version);
    }
  }
  return cases;
}

TEST(GoldenTraining, FirstStep) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  const std::vector<fs::path> cases = TrainableCases();
  EXPECT_FALSE(cases.empty());
  for (const fs::path& folder : cases) {
    SCOPED_TRACE(folder.filename());
    fmt::print("{}\n", folder.filename().string());
    const TrainingCase c(folder);
    ExpectFirstGradients(c, "grad_l2wrap", 1e-4);
    ExpectFirstGradients(c, "grad_nol2wrap", 0);
  }
}

TEST(GoldenTraining, Groups) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  const std::vector<fs::path> cases = TrainableCases();
  EXPECT_FALSE(cases.empty());
  for (const fs::path& folder : cases) {
    SCOPED_TRACE(folder.filename());
    ExpectGroups(TrainingCase(folder));
  }
}

TEST(GoldenTraining, TwentySteps) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  const std::vector<fs::path> cases = TrainableCases();
  EXPECT_FALSE(cases.empty());
  for (const fs::path& folder : cases) {
    SCOPED_TRACE(folder.filename());
    fmt::print("{}\n", folder.filename().string());
    const TrainingCase c(folder);
    for (const auto& [name, run] : c.info["runs"].items()) ExpectRun(c, name, run);
  }
}

/// Holds one fresh tensor against what the reference's initialiser gave.
void ExpectInitial(const std::vector<double>& values, const json& stats, const std::string& name) {
  const auto [least, most] = std::ranges::minmax_element(values);
  double mean = 0;
  for (double x : values) mean += x / static_cast<double>(values.size());
  const double deviation = golden::StandardDeviation(values);
  if (stats["deterministic"] == true) {
    // The reference computes these in float32, one rounding a step.
    const double tolerance = 2e-6 * std::max(1.0, std::abs(stats["max"].get<double>()));
    EXPECT_NEAR(*least, stats["min"].get<double>(), tolerance) << name;
    EXPECT_NEAR(*most, stats["max"].get<double>(), tolerance) << name;
    EXPECT_NEAR(mean, stats["mean"].get<double>(), tolerance) << name;
    EXPECT_NEAR(deviation, stats["std"].get<double>(), 0.003 * deviation + tolerance) << name;
    const json first = stats.value("first", json::array()), last = stats.value("last", json::array());
    for (size_t i = 0; i < first.size(); ++i)
      EXPECT_NEAR(values[i], first[i].get<double>(), tolerance) << name;
    for (size_t i = 0; i < last.size(); ++i) {
      EXPECT_NEAR(values[values.size() - last.size() + i], last[i].get<double>(), tolerance) << name;
    }
    return;
  }
  // Drawn at random: the same distribution.
  const double expected = stats["std"];
  EXPECT_NEAR(deviation, expected, 0.02 * expected) << name;
  EXPECT_LT(std::abs(mean), 5 * expected / std::sqrt(static_cast<double>(values.size()))) << name;
}

/// The shorter side's vectors must be orthogonal to each other and as long as the reference's.
void ExpectOrthogonal(const Tensor& t, double gain, const std::string& name) {
  const Dim rows = t.dim(0), columns = t.dim(1), few = std::min(rows, columns),
            many = std::max(rows, columns);
  const auto at = [&](Dim i, Dim k) { return t.data()[rows <= columns ? i * columns + k : k * columns + i]; };
  double worst = 0;
  for (Dim i = 0; i < few; ++i) {
    for (Dim j = 0; j <= i; ++j) {
      double product = 0;
      for (Dim k = 0; k < many; ++k) product += double{at(i, k)} * at(j, k);
      worst = std::max(worst, std::abs(product - (i == j ? gain * gain : 0)));
    }
  }
  EXPECT_LT(worst, 1e-5 * gain * gain) << name;
}

/// A fresh model against the statistics of one of the reference's.
void ExpectInitialValues(const std::string& arch, const json& stats) {
  SCOPED_TRACE(arch);
  const json& config = stats["config"];
  const Architecture& architecture = FindArchitecture(arch);
  const auto size = [&](const char* name) { return config.at(name).get<Dim>(); };
  Sizes asked{{"layers", size("n_layer")}, {"width", size("n_embd")}, {"vocab", size("vocab")}};
  if (arch != "rwkv4") asked["head_size"] = size("head_size");
  const LoadedModel model = NewModel(architecture, architecture.complete_sizes(asked), 5);
  std::set<std::string> seen(architecture.ignored.begin(), architecture.ignored.end());
  for (const Parameter& p : model.params->parameters()) {
    SCOPED_TRACE(p.name);
    seen.insert(p.name);
    const json& expected = stats["params"].at(p.name);
    Shape shape;
    for (Dim extent : expected["shape"].get<std::vector<Dim>>()) shape.Append(extent);
    ASSERT_EQ(p.tensor.shape(), shape);
    ExpectInitial(AsDoubles(p.tensor), expected, p.name);
    if (expected["kind"] == "orthogonal") ExpectOrthogonal(p.tensor, expected["gain"], p.name);
  }
  for (const auto& [name, unused] : stats["params"].items())
    EXPECT_TRUE(seen.contains(name)) << name << " is missing";
}

TEST(GoldenTraining, InitialValues) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  const json stats = ReadJson(golden::Folder() / "B_training" / "init_stats.json");
  ExpectInitialValues("rwkv4", stats["v4"]);
  ExpectInitialValues("rwkv5", stats["v5.2"]);
  ExpectInitialValues("rwkv6", stats["v6"]);
  ExpectInitialValues("rwkv7", stats["v7_train_temp"]);
}

}  // namespace
}  // namespace linnet

// linnet plot loss: the losses of one run or several, in one picture. With --json one object, a stable
// contract:
//   {"runs": [{"run": "...", "steps": n, "loss": nats, "val_loss": nats or null, "best_val_loss": ...}, ...]}
// where "loss" is the mean of the last fortieth of the steps.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/plots.h"
#include "cli/terminal.h"
#include "formats/checkpoint.h"
#include "train/log.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct LossOptions {
  std::vector<std::string> runs;
  std::string output, x = "steps";
  bool bits = false, json = false;
};

struct RunCurve {
  std::string name;
  fs::path log;
  std::vector<StepRecord> records;
  double tokens_per_step = 0;  // where tokens were asked for

  /// The mean loss over the last fortieth of the steps that have one, as the curve shows it.
  double LastLoss() const {
    double sum = 0;
    size_t count = 0;
    const size_t wanted = std::max<size_t>(1, records.size() / 40);
    for (auto record = records.rbegin(); record != records.rend() && count < wanted; ++record) {
      if (!std::isfinite(record->loss)) continue;
      sum += record->loss;
      ++count;
    }
    return sum / static_cast<double>(count);
  }
  std::vector<double> HeldOut() const {
    std::vector<double> losses;
    for (const StepRecord& record : records) {
      if (record.val_loss) losses.push_back(*record.val_loss);
    }
    return losses;
  }
};

/// From what the run's model says of its training.
double TokensPerStep(const fs::path& log) {
  const fs::path model = log.parent_path() / "model.safetensors";
  Check(fs::exists(model),
        "{}: is needed for --x tokens, as it says how many tokens a step has; take --x steps",
        model.string());
  const auto checkpoint = Checkpoint::Open(model);
  const auto found = checkpoint->metadata().find("training");
  const Json settings =
      found == checkpoint->metadata().end() ? Json() : Json::parse(found->second, nullptr, false);
  double tokens = 1;
  for (const char* key : {"ctx", "batch", "accumulate"}) {
    Check(settings.is_object() && settings.contains(key) && settings[key].is_number(),
          "{}: does not say how many tokens a step of its training had; take --x steps", model.string());
    tokens *= settings[key].get<double>();
  }
  return tokens;
}

RunCurve OpenRun(const LossOptions& options, const std::string& run) {
  RunCurve curve;
  curve.log = fs::is_directory(run) ? fs::path(run) / "log.jsonl" : fs::path(run);
  Check(fs::is_regular_file(curve.log), "{}: there is no such log; give a run's folder or its log.jsonl",
        curve.log.string());
  curve.records = ReadLog(curve.log);
  Check(std::ranges::any_of(curve.records, [](const StepRecord& r) { return std::isfinite(r.loss); }),
        "{}: holds no step of a run", curve.log.string());
  if (options.x == "tokens") curve.tokens_per_step = TokensPerStep(curve.log);
  // The folder says more than the usual name of the log in it.
  const fs::path whole = fs::weakly_canonical(curve.log);
  const bool usual = whole.filename() == "log.jsonl";
  curve.name = Printable((usual ? whole.parent_path().filename() : whole.filename()).string());
  return curve;
}

/// Runs that would have the same name get the ones that they were given as.
std::vector<RunCurve> OpenRuns(const LossOptions& options) {
  std::vector<RunCurve> curves;
  std::multiset<std::string> names;
  for (const std::string& run : options.runs) {
    curves.push_back(OpenRun(options, run));
    names.insert(curves.back().name);
  }
  for (size_t i = 0; i < curves.size(); ++i) {
    if (names.count(curves[i].name) > 1) curves[i].name = Printable(options.runs[i]);
  }
  return curves;
}

Chart LossChart(const LossOptions& options, const std::vector<RunCurve>& curves) {
  Chart chart;
  chart.title = curves.size() == 1 ? "Loss of " + curves[0].name : "Loss of the runs";
  chart.x_label = options.x == "steps" ? "step" : options.x;
  chart.y_label = options.bits ? "bits per token" : "nats per token";
  chart.title += ", held out marked";
  for (size_t i = 0; i < curves.size(); ++i) {
    const RunCurve& curve = curves[i];
    Series training{curve.name, Series::Style::kLine, {}, static_cast<int>(i)};
    Series held_out{"", Series::Style::kMarkers, {}, static_cast<int>(i)};
    for (const StepRecord& record : curve.records) {
      const auto steps = static_cast<double>(record.step + 1);
      const double x = options.x == "steps"    ? steps
                       : options.x == "tokens" ? steps * curve.tokens_per_step
                                               : record.seconds;
      const auto y = [&](double loss) { return options.bits ? BitsPerByte(loss) : loss; };
      training.points.push_back({x, y(record.loss)});
      if (record.val_loss) held_out.points.push_back({x, y(*record.val_loss)});
    }
    chart.series.push_back(std::move(training));
    chart.series.push_back(std::move(held_out));
  }
  return chart;
}

void PrintJson(const std::vector<RunCurve>& curves) {
  Json runs = Json::array();
  for (const RunCurve& curve : curves) {
    const std::vector<double> held_out = curve.HeldOut();
    const bool none = held_out.empty();
    runs.push_back({{"run", curve.name},
                    {"steps", curve.records.back().step + 1},
                    {"loss", curve.LastLoss()},
                    {"val_loss", none ? Json() : Json(held_out.back())},
                    {"best_val_loss", none ? Json() : Json(*std::ranges::min_element(held_out))}});
  }
  fmt::print("{}\n", Json{{"runs", runs}}.dump(-1, ' ', false, Json::error_handler_t::replace));
}

void PrintTable(const LossOptions& options, const std::vector<RunCurve>& curves, const Chart& chart) {
  size_t width = 3;
  for (const RunCurve& curve : curves) width = std::max(width, curve.name.size());
  const auto text = [&](double loss) {
    return std::isfinite(loss) ? fmt::format("{:.4f}", options.bits ? BitsPerByte(loss) : loss) : "-";
  };
  fmt::print("{:<{}}  {:>8}  {:>9}  {:>9}  {:>9}   {}\n", "run", width, "steps", "loss", "held out", "best",
             chart.y_label);
  for (const RunCurve& curve : curves) {
    const std::vector<double> held_out = curve.HeldOut();
    const double last = held_out.empty() ? NAN : held_out.back();
    const double best = held_out.empty() ? NAN : *std::ranges::min_element(held_out);
    fmt::print("{:<{}}  {:>8}  {:>9}  {:>9}  {:>9}\n", curve.name, width,
               WithCommas(curve.records.back().step + 1), text(curve.LastLoss()), text(last), text(best));
  }
  fmt::print("\n{}", DrawChart(chart, std::min(100, TerminalColumns(stdout)), 20, LocaleIsUtf8()));
}

void RunLoss(const LossOptions& options) {
  const std::vector<RunCurve> curves = OpenRuns(options);
  const Chart chart = LossChart(options, curves);
  WriteChart(options.output, chart);
  if (options.json) {
    PrintJson(curves);
  } else {
    PrintTable(options, curves, chart);
  }
}

}  // namespace

void AddPlotLoss(CLI::App& plot) {
  auto options = std::make_shared<LossOptions>();
  CLI::App* command = plot.add_subcommand("loss", "How the losses of training runs fell");
  command->add_option("runs", options->runs, "The folders of runs, or their logs")
      ->required()
      ->type_name("RUN");
  AddChartOption(*command, options->output);
  command->add_option("--x", options->x, "What the losses are drawn over: steps, tokens or seconds")
      ->check(CLI::IsMember({"steps", "tokens", "seconds"}))
      ->capture_default_str();
  command->add_flag("--bits", options->bits, "Bits instead of nats a token; of bytes, bits per byte");
  command->add_flag("--json", options->json, "Print where the losses ended as one JSON object");
  command->footer("Example: linnet plot loss run-a run-b -o loss.png --x seconds");
  command->callback([options] { RunLoss(*options); });
}

}  // namespace linnet

// linnet plot positions: the mean loss of tokens by how many stand before them. It falls as long as the model
// makes use of more context. With --json one object, a stable contract:
//   {"model": "...", "window": n, "positions": [{"first": 1, "last": 1, "tokens": n, "loss": nats}, ...]}
#include <nlohmann/json.hpp>

#include "cli/eval.h"
#include "cli/plots.h"
#include "cli/terminal.h"
#include "infer/evaluate.h"

namespace linnet {
namespace {

using Json = nlohmann::ordered_json;

struct PositionsOptions {
  ModelOptions model;
  std::vector<std::string> files;
  std::string output;
  int64_t window = 1024;
  bool json = false;
};

Chart PositionsChart(const PositionsOptions& options, const std::vector<PositionLoss>& steps) {
  const std::string name = std::filesystem::path(options.model.path).filename().string();
  Chart chart{
      fmt::format("Loss by position, {}", Printable(name)), "position in the window", "nats a token", {}};
  chart.x_scale = Scale::kLog;
  Series series{"loss", Series::Style::kMarkers, {}};
  for (const PositionLoss& step : steps) {
    series.points.push_back({static_cast<double>(step.first + step.last) / 2, step.loss()});
  }
  chart.series.push_back(std::move(series));
  return chart;
}

void PrintJson(const PositionsOptions& options, const std::vector<PositionLoss>& steps) {
  Json object = {{"model", options.model.path}, {"window", options.window}, {"positions", Json::array()}};
  for (const PositionLoss& step : steps) {
    object["positions"].push_back(
        {{"first", step.first}, {"last", step.last}, {"tokens", step.tokens}, {"loss", step.loss()}});
  }
  fmt::print("{}\n", object.dump(-1, ' ', false, Json::error_handler_t::replace));
}

void PrintTable(const Chart& chart, const std::vector<PositionLoss>& steps) {
  fmt::print("{:>15}  {:>10}  {:>12}\n", "position", "tokens", "nats a token");
  for (const PositionLoss& step : steps) {
    const std::string range = step.first == step.last
                                  ? WithCommas(step.first)
                                  : fmt::format("{} - {}", WithCommas(step.first), WithCommas(step.last));
    fmt::print("{:>15}  {:>10}  {:>12.4f}\n", range, WithCommas(step.tokens), step.loss());
  }
  fmt::print("\n{}", DrawChart(chart, std::min(100, TerminalColumns(stdout)), 20, LocaleIsUtf8()));
}

void RunPositions(const PositionsOptions& options) {
  const LoadedModel model = options.model.Load();
  const auto tokenizer = options.model.OpenTokenizer(model);
  const Documents documents(options.files);
  Progress progress("scoring");
  const auto steps = LossByPosition(model, *tokenizer, documents.texts, options.window,
                                    [&](int64_t done, int64_t total) { progress.Update(done, total); });
  progress.Clear();
  const Chart chart = PositionsChart(options, steps);
  WriteChart(options.output, chart);
  if (options.json) {
    PrintJson(options, steps);
  } else {
    PrintTable(chart, steps);
  }
}

}  // namespace

void AddPlotPositions(CLI::App& plot) {
  auto options = std::make_shared<PositionsOptions>();
  CLI::App* command = plot.add_subcommand("positions", "How the loss falls with what stands before a token");
  options->model.AddTo(*command);
  AddTextOption(*command, options->files);
  command->add_option("--window", options->window, "Tokens of a window; each begins from the initial state")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40))
      ->capture_default_str();
  AddChartOption(*command, options->output);
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer("Example: linnet plot positions model.safetensors --text book.txt -o positions.svg");
  command->callback([options] { RunPositions(*options); });
}

}  // namespace linnet

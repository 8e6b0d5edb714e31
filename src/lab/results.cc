#include "lab/results.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/check.h"

namespace linnet::lab {
namespace {

using Json = nlohmann::ordered_json;

Json Number(double x) { return std::isfinite(x) ? Json(x) : Json(); }

double ReadNumber(const Json& json) {
  return json.is_number() ? json.get<double>() : std::numeric_limits<double>::quiet_NaN();
}

Json ToObject(const RunResult& r) {
  Json curve = Json::array();
  for (const CurvePoint& p : r.curve) {
    curve.push_back({{"tokens", p.tokens},
                     {"seconds", p.seconds},
                     {"loss", Number(p.loss)},
                     {"quality", Number(p.quality)}});
  }
  return {{"rate", r.rate},
          {"seed", r.seed},
          {"steps", r.steps},
          {"tokens", r.tokens},
          {"seconds", r.seconds},
          {"tokens_per_s", Number(r.tokens_per_s)},
          {"solved", r.solved},
          {"validation_loss", Number(r.validation_loss)},
          {"test_loss", Number(r.score.loss)},
          {"accuracy", Number(r.score.accuracy)},
          {"sequence_accuracy", Number(r.score.sequence_accuracy)},
          {"squared_error", Number(r.score.squared_error)},
          {"answers", r.score.answers},
          {"sequences", r.score.sequences},
          {"firing_rate", r.score.firing_rate ? Json(*r.score.firing_rate) : Json()},
          {"carried_bits", r.carried ? Number(*r.carried) : Json()},
          {"generation_tokens_per_s", r.running.tokens_per_s},
          {"state_bytes", r.running.state_bytes},
          {"parallel_gap", r.running.parallel_gap},
          {"curve", curve},
          {"failure", r.failure}};
}

}  // namespace

std::string ToJson(const RunResult& result) { return ToObject(result).dump(1) + "\n"; }

RunResult ParseRunResult(const std::string& text, const std::string& where) {
  const Json json = Json::parse(text, nullptr, false);
  RunResult r;
  try {
    r.rate = json.at("rate");
    r.seed = json.at("seed");
    r.steps = json.at("steps");
    r.tokens = json.at("tokens");
    r.seconds = json.at("seconds");
    r.tokens_per_s = ReadNumber(json.at("tokens_per_s"));
    r.solved = json.at("solved");
    r.validation_loss = ReadNumber(json.at("validation_loss"));
    r.score = {ReadNumber(json.at("test_loss")),
               ReadNumber(json.at("accuracy")),
               ReadNumber(json.at("sequence_accuracy")),
               ReadNumber(json.at("squared_error")),
               json.at("answers"),
               json.at("sequences")};
    const Json rate = json.value("firing_rate", Json());  // which older results lack
    if (rate.is_number()) r.score.firing_rate = rate.get<double>();
    if (json.at("carried_bits").is_number()) r.carried = json.at("carried_bits").get<double>();
    r.running = {json.at("generation_tokens_per_s"), json.at("state_bytes"), json.at("parallel_gap")};
    for (const Json& p : json.at("curve")) {
      r.curve.push_back(
          {p.at("tokens"), p.at("seconds"), ReadNumber(p.at("loss")), ReadNumber(p.at("quality"))});
    }
    r.failure = json.at("failure");
  } catch (const Json::exception&) {
    Fail("{}: is no result of a run; remove its folder to have it trained again", where);
  }
  return r;
}

double Median(std::vector<double> values) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::ranges::sort(values);
  const size_t n = values.size();
  return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

std::vector<double> Qualities(const ArchitectureResult& result, Quality quality) {
  std::vector<double> values;
  for (const RunResult& run : result.runs) {
    if (run.failure.empty()) values.push_back(run.score.quality(quality));
  }
  return values;
}

std::string ToJson(const Comparison& comparison) {
  Json architectures = Json::array();
  for (const ArchitectureResult& r : comparison.results) {
    Json grid = Json::array(), runs = Json::array(), sizes = Json::object();
    for (const auto& [name, size] : r.model.sizes) sizes[name] = size;
    for (const RunResult& run : r.grid) grid.push_back(ToObject(run));
    for (const RunResult& run : r.runs) runs.push_back(ToObject(run));
    architectures.push_back({{"name", r.contestant.name},
                             {"architecture", r.contestant.architecture->name},
                             {"parameters", r.model.parameters},
                             {"sizes", sizes},
                             {"rate", r.rate},
                             {"median", Number(Median(Qualities(r, comparison.quality)))},
                             {"runs", runs},
                             {"grid", grid}});
  }
  return Json{{"task", comparison.task},
              {"quality", NameOf(comparison.quality)},
              {"higher_is_better", HigherIsBetter(comparison.quality)},
              {"batch", comparison.batch},
              {"length", comparison.length},
              {"architectures", architectures}}
             .dump(1) +
         "\n";
}

}  // namespace linnet::lab

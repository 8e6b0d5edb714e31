#include "train/log.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numbers>
#include <string_view>

#include "base/check.h"
#include "base/file.h"

namespace linnet {
namespace {

using json = nlohmann::ordered_json;  // keeps the order of the keys

json NumberOrNull(double x) { return std::isfinite(x) ? json(x) : json(nullptr); }

double Number(const json& value) {
  return value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN();
}

std::optional<StepRecord> Parse(const std::string& line) {
  const json object = json::parse(line, nullptr, false);
  if (!object.is_object()) return std::nullopt;
  for (const char* key :
       {"step", "loss", "val_loss", "lr", "grad_norm", "tokens_per_s", "seconds", "skipped"}) {
    if (!object.contains(key)) return std::nullopt;
  }
  if (!object["step"].is_number_integer() || !object["skipped"].is_boolean()) return std::nullopt;
  StepRecord record{.step = object["step"],
                    .loss = Number(object["loss"]),
                    .val_loss = std::nullopt,
                    .lr = Number(object["lr"]),
                    .gradient_norm = Number(object["grad_norm"]),
                    .tokens_per_s = Number(object["tokens_per_s"]),
                    .seconds = Number(object["seconds"]),
                    .skipped = object["skipped"],
                    .tokens_are_bytes = !object.contains("bits_per_byte") || !object["loss"].is_number() ||
                                        object["bits_per_byte"].is_number()};
  if (object["val_loss"].is_number()) record.val_loss = object["val_loss"].get<double>();
  if (const auto found = object.find("eval_loss"); found != object.end() && found->is_number()) {
    record.eval_loss = found->get<double>();
  }
  if (const auto found = object.find("sample"); found != object.end() && found->is_string()) {
    record.sample = found->get<std::string>();
  }
  if (object.contains("ema_val_loss") && object["ema_val_loss"].is_number()) {
    record.ema_val_loss = object["ema_val_loss"].get<double>();
  }
  if (object.contains("quality") && object["quality"].is_number()) {
    record.quality = object["quality"].get<double>();
  }
  if (object.contains("firing_rate") && object["firing_rate"].is_number()) {
    record.firing_rate = object["firing_rate"].get<double>();
  }
  return record;
}

/// The step to which a line says that the run returned.
std::optional<int64_t> ParseReturn(const std::string& line) {
  const json object = json::parse(line, nullptr, false);
  if (!object.is_object() || !object.contains("event") || !object.contains("step")) return std::nullopt;
  if (object["event"] != "return" || !object["step"].is_number_integer()) return std::nullopt;
  return object["step"].get<int64_t>();
}

constexpr std::string_view kBeginning = "{\"step\":";  // of every line

/// Rewrites the log without the lines of steps from `next_step` on. A file with lines that are no records,
/// but for a torn last one, is somebody else's and left alone.
void Cut(const std::filesystem::path& path, int64_t next_step) {
  std::ifstream in(path);
  std::string line, kept;
  while (std::getline(in, line)) {
    const auto record = Parse(line);
    const auto step = record ? record->step : ParseReturn(line);
    const bool torn = in.eof() && kBeginning.starts_with(line.substr(0, kBeginning.size()));
    Check(step || torn, "{}: is not a log of linnet and would be overwritten; give another --log FILE",
          path.string());
    if (step && *step < next_step) kept += line + "\n";
  }
  WriteFile(path, kept);
}

}  // namespace

double BitsPerByte(double nats) { return nats / std::numbers::ln2; }

RunLog::RunLog(const std::filesystem::path& path, int64_t next_step) : path_(path) {
  if (std::filesystem::is_regular_file(path)) Cut(path, next_step);
  file_.open(path, std::ios::app);
  Check(file_.good(), "{}: the log cannot be written; give another --log FILE", path.string());
}

void RunLog::Write(const StepRecord& record) {
  json line = {
      {"step", record.step},
      {"loss", NumberOrNull(record.loss)},
      {"bits_per_byte", record.tokens_are_bytes ? NumberOrNull(BitsPerByte(record.loss)) : json(nullptr)},
      {"val_loss", record.val_loss ? NumberOrNull(*record.val_loss) : json(nullptr)},
      {"lr", record.lr},
      {"grad_norm", NumberOrNull(record.gradient_norm)},
      {"tokens_per_s", record.tokens_per_s},
      {"seconds", record.seconds},
      {"skipped", record.skipped}};
  if (record.eval_loss) line["eval_loss"] = NumberOrNull(*record.eval_loss);
  if (record.sample) line["sample"] = *record.sample;
  if (record.ema_val_loss) line["ema_val_loss"] = NumberOrNull(*record.ema_val_loss);
  if (record.quality) line["quality"] = NumberOrNull(*record.quality);
  if (record.firing_rate) line["firing_rate"] = *record.firing_rate;
  WriteLine(line.dump());
}

void RunLog::WriteReturn(int64_t to, int64_t from, const std::string& why) {
  WriteLine(json{{"step", to}, {"event", "return"}, {"from", from}, {"why", why}}.dump());
}

void RunLog::WriteLine(const std::string& line) {
  file_ << line << "\n" << std::flush;
  Check(file_.good(), "{}: writing failed; is the disk full?", path_.string());
}

std::vector<StepRecord> ReadLog(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::vector<StepRecord> records;
  for (std::string line; std::getline(in, line);) {
    if (auto record = Parse(line)) records.push_back(*record);
  }
  return records;
}

}  // namespace linnet

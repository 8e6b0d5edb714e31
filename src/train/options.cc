#include "train/options.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "base/check.h"
#include "train/groups.h"
#include "train/schedule.h"
#include "train/tuning.h"

namespace linnet {
namespace {

using nlohmann::json;

template <class T>
void CheckRange(const Setting& setting, const T& value) {
  if constexpr (std::is_same_v<T, std::vector<double>>) {
    for (double element : value) CheckRange(setting, element);
  } else if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {
    const double number = static_cast<double>(value);
    Check(number >= setting.least && number <= setting.most, "{} must lie between {} and {} but is {}",
          setting.flag, setting.least, setting.most, value);
  }
}

/// A value that was left at its default need not lie in the range: 0 layers are "as many as usual".
void CheckRanges(const TrainOptions& options) {
  const TrainOptions defaults;
  VisitSettings([&](const Setting& setting, auto member) {
    const bool chosen = options.given.contains(setting.flag) || options.*member != defaults.*member;
    if (chosen) CheckRange(setting, options.*member);
  });
}

void CheckLength(const TrainOptions& options) {
  const int lengths = (options.steps != 0) + (options.tokens != 0) + (options.minutes != 0);
  Check(lengths > 0, "the length of the run is missing; give one of --steps, --tokens and --minutes");
  Check(lengths == 1, "the length of the run is given twice; give one of --steps, --tokens and --minutes");
}

/// Whether `saved` is a value of this kind, which it then sets. A whole number is not taken from one with a
/// point or an exponent, which may be beyond all integers.
template <class T>
bool Read(const json& saved, T& value) {
  if (std::is_integral_v<T> && saved.is_number_float()) return false;
  try {
    saved.get_to(value);
  } catch (const json::exception&) {
    return false;
  }
  return true;
}

}  // namespace

SaveInterval ParseSaveInterval(const std::string& text) {
  const bool minutes = text.ends_with('m');
  const char* end = text.data() + text.size() - minutes;
  double number = 0;
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  const bool whole = minutes || number == std::floor(number);
  Check(error == std::errc() && stop == end && number >= 0 && number <= 1e9 && whole,
        "--save-every must be a number of steps (500) or of minutes (10m) but is '{}'", text);
  if (minutes) return {0, number * 60};
  return {static_cast<int64_t>(number), 0};
}

void CheckOptions(const TrainOptions& options) {
  CheckRanges(options);
  CheckLength(options);
  Check(!options.data.empty(), "there is nothing to learn from; give --data FILE...");
  Check(!options.out.empty(), "there is no place for the checkpoints; give --out DIR");
  Check(options.pack.empty() || options.pack == "documents" || options.pack == "stream",
        "--pack must be documents or stream but is '{}'", options.pack);
  Check(options.precision == "fp32" || options.precision == "bf16",
        "--precision must be fp32 or bf16 but is '{}'", options.precision);
  Check(options.backprop == "exact" || options.backprop == "truncated",
        "--backprop must be exact or truncated but is '{}'", options.backprop);
  Check(options.backprop == "exact" || options.chunk > 0,
        "--backprop truncated needs borders to end at; give --chunk N");
  Check(options.betas.size() == 2, "--betas takes two numbers, {} were given", options.betas.size());
  Check(options.lr > 0, "--lr must be above 0");
  const bool restarts = options.given.contains("--init") && options.resume && !TrainsBesideModel(options);
  Check(!restarts, "--init starts a run and --resume goes on with one; leave one of them out");
  CheckTuningOptions(options);
  Check(options.tokens_per_step() <= int64_t{1} << 31,
        "--ctx {} times --batch {} times --accumulate {} is more than 2^31 tokens a step; make one of them "
        "smaller",
        options.ctx, options.batch, options.accumulate);
  ParseSaveInterval(options.save_every);
  ParseScheduleShape(options.schedule);
  ParseDecayShape(options.decay_shape);
  ParseLayerwise(options.layerwise);
}

std::string SettingsToJson(const TrainOptions& options) {
  json settings = json::object();
  VisitSettings([&](const Setting& setting, auto member) {
    if (setting.on_resume != OnResume::kForget) settings[setting.key()] = options.*member;
  });
  return settings.dump();
}

TrainOptions AdoptSettings(const TrainOptions& asked, const std::string& settings, const std::string& where) {
  const json saved = json::parse(settings, nullptr, false);
  Check(saved.is_object(), "{}: the settings of its run cannot be read", where);
  TrainOptions options = asked;
  VisitSettings([&](const Setting& setting, auto member) {
    if (setting.on_resume == OnResume::kForget || !saved.contains(setting.key())) return;
    auto value = options.*member;
    Check(Read(saved.at(setting.key()), value), "{}: the setting {} of its run cannot be read", where,
          setting.key());
    if (!asked.given.contains(setting.flag)) {
      options.*member = value;
    } else if (setting.on_resume == OnResume::kSame) {
      Check(options.*member == value,
            "{} is {} but the run to resume has {} ({}); leave the flag out to go on with that run, or start "
            "another "
            "with a new --out",
            setting.flag, json(options.*member).dump(), json(value).dump(), where);
    }
  });
  return options;
}

}  // namespace linnet

#include "lab/task.h"

#include <algorithm>
#include <charconv>
#include <stdexcept>

#include "base/check.h"
#include "lab/kinds.h"

namespace linnet::lab {
namespace {

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  while (true) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    if (end == text.size()) return parts;
    begin = end + 1;
  }
}

const TaskKind& FindKind(const std::string& name) {
  std::string known;
  for (const TaskKind& kind : TaskKinds()) {
    if (kind.name == name) return kind;
    known += (known.empty() ? "" : ", ") + kind.name;
  }
  Fail("there is no task '{}'; known are: {}", name, known);
}

/// Puts "pairs=8" into the settings.
void Apply(const std::string& word, const TaskKind& kind, std::vector<TaskSetting>& settings) {
  const size_t equals = word.find('=');
  const std::string name = word.substr(0, equals);
  const auto setting = std::ranges::find(settings, name, &TaskSetting::name);
  if (setting == settings.end()) {
    std::string known;
    for (const TaskSetting& s : settings) known += (known.empty() ? "" : ", ") + s.name;
    Fail("the task {} has no setting '{}'; it has: {}", kind.name, name, known);
  }
  const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), setting->value);
  Check(error == std::errc() && end == value.data() + value.size(),
        "the task {}: {} needs a whole number, as in {}={}, but has '{}'", kind.name, name, name,
        setting->least, value);
  Check(setting->value >= setting->least && setting->value <= setting->most,
        "the task {}: {} must lie between {} and {} but is {}", kind.name, name, setting->least,
        setting->most, setting->value);
}

}  // namespace

const char* NameOf(Quality quality) {
  switch (quality) {
    case Quality::kAccuracy:
      return "accuracy";
    case Quality::kSequenceAccuracy:
      return "sequence accuracy";
    case Quality::kSquaredError:
      return "squared error";
    case Quality::kBitsPerByte:
      return "bits per byte";
  }
  return "";
}

bool HigherIsBetter(Quality quality) {
  return quality == Quality::kAccuracy || quality == Quality::kSequenceAccuracy;
}

Example GeneratedTask::Draw(Part part, uint64_t seed, int64_t index) const {
  // Streams of training have even keys, the others odd ones.
  const uint64_t key = part == Part::kTraining ? 2 * seed : part == Part::kValidation ? 1 : 3;
  Random random(key, static_cast<uint64_t>(index));
  return Make(random);
}

int64_t TaskArguments::at(const std::string& name) const {
  const auto setting = std::ranges::find(settings, name, &TaskSetting::name);
  if (setting == settings.end()) throw std::out_of_range(name);
  return setting->value;
}

std::span<const TaskKind> TaskKinds() {
  static const std::vector<TaskKind> kinds = {TextKind(),
                                              CopyKind(),
                                              SelectiveCopyKind(),
                                              MemoryKind(),
                                              ReversalKind(),
                                              AddingKind(),
                                              MqarKind(),
                                              InductionKind(),
                                              Hs2bKind(),
                                              ParityKind(),
                                              S5Kind(),
                                              A5Kind(),
                                              A4Z5Kind(),
                                              Z60Kind(),
                                              ListOpsKind(),
                                              PixelsKind(),
                                              PermutedPixelsKind()};
  return kinds;
}

NamedTask MakeTask(const std::string& name, const std::vector<std::string>& files) {
  const std::vector<std::string> words = Split(name, ':');
  NamedTask named{&FindKind(words[0]), words[0], nullptr};
  const TaskKind& kind = *named.kind;
  Check(kind.data.empty() || !files.empty(), "the task {} needs {}; give it with --data", kind.name,
        kind.data);
  Check(!kind.data.empty() || files.empty(), "the task {} is made of random numbers; leave --data out",
        kind.name);
  TaskArguments arguments{kind.settings, files};
  for (size_t i = 1; i < words.size(); ++i) Apply(words[i], kind, arguments.settings);
  for (const TaskSetting& s : arguments.settings) named.name += fmt::format(":{}={}", s.name, s.value);
  named.task = kind.make(arguments);
  return named;
}

}  // namespace linnet::lab

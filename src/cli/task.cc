// linnet task: what the tasks of `linnet compare` are, and samples of them. With --json, list prints one
// array,
//   [{"task": "mqar", "what": "...", "data": "", "settings": {"length": 64, ...}}, ...]
// and show one object a sample, {"tokens": [...], "targets": [...]}, -1 where nothing is to be predicted.
#include "lab/task.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/lab_commands.h"
#include "cli/terminal.h"

namespace linnet {
namespace {

using Json = nlohmann::ordered_json;

struct ShowOptions {
  std::string task;
  std::vector<std::string> files;
  int64_t count = 3, seed = 1;
  bool held_out = false, json = false;
};

void List(bool json) {
  Json all = Json::array();
  for (const lab::TaskKind& kind : lab::TaskKinds()) {
    Json settings = Json::object();
    for (const lab::TaskSetting& s : kind.settings) settings[s.name] = s.value;
    all.push_back({{"task", kind.name}, {"what", kind.what}, {"data", kind.data}, {"settings", settings}});
    if (json) continue;
    fmt::print("{:<10}  {}{}\n", kind.name, kind.what, kind.data.empty() ? "" : "; --data: " + kind.data);
    for (const lab::TaskSetting& s : kind.settings) {
      fmt::print("{:<10}    {:<18} {}\n", "", fmt::format("{}={}", s.name, s.value), s.help);
    }
  }
  if (json) fmt::print("{}\n", all.dump());
}

/// The tokens of a sample, and below those where something is to be predicted what it is; in lines that fit.
void PrintSample(const lab::Task& task, const lab::Example& example, size_t columns) {
  std::string tokens, targets;
  const auto flush = [&] {
    fmt::print("  {}\n", tokens);
    if (targets.find_first_not_of(' ') != std::string::npos) fmt::print("> {}\n", targets);
    tokens.clear(), targets.clear();
  };
  for (size_t i = 0; i < example.tokens.size(); ++i) {
    const std::string token = task.Show(example.tokens[i]);
    const std::string target = example.targets[i] < 0 ? "" : task.Show(example.targets[i]);
    const size_t width = std::max(token.size(), target.size());
    if (tokens.size() + width + 3 > columns) flush();
    tokens += fmt::format("{:<{}} ", token, width);
    targets += fmt::format("{:<{}} ", target, width);
  }
  flush();
}

void Show(const ShowOptions& options) {
  const lab::NamedTask named = lab::MakeTask(options.task, options.files);
  const lab::Task& task = *named.task;
  if (!options.json) {
    fmt::print("{}\n{}; {} tokens a sequence, a vocabulary of {}, judged by {}\n", named.name,
               named.kind->what, WithCommas(task.length()), WithCommas(task.vocab()), NameOf(task.quality()));
  }
  const lab::Part part = options.held_out ? lab::Part::kTest : lab::Part::kTraining;
  for (int64_t i = 0; i < options.count; ++i) {
    const lab::Example example = task.Draw(part, static_cast<uint64_t>(options.seed), i);
    if (options.json) {
      fmt::print("{}\n", Json{{"tokens", example.tokens}, {"targets", example.targets}}.dump());
    } else {
      fmt::print("\n");
      PrintSample(task, example, static_cast<size_t>(TerminalColumns(stdout)));
    }
  }
}

}  // namespace

void AddTask(CLI::App& app) {
  CLI::App* task = app.add_subcommand("task", "List the tasks that models are compared on, and show samples");
  task->require_subcommand(1);
  auto json = std::make_shared<bool>(false);
  CLI::App* list = task->add_subcommand("list", "All tasks with their settings");
  list->add_flag("--json", *json, "Print one JSON array");
  list->footer("Example: linnet task list");
  list->callback([json] { List(*json); });

  auto options = std::make_shared<ShowOptions>();
  CLI::App* show = task->add_subcommand("show", "Samples of a task; below a token what is to be predicted");
  show->add_option("task", options->task, "Its name, with settings if need be: mqar:length=32:pairs=4")
      ->required()
      ->type_name("TASK");
  show->add_option("--data", options->files, "What the task learns from, if it is not made of random numbers")
      ->type_name("FILE");
  show->add_option("-n,--count", options->count, "Samples")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  show->add_option("--seed", options->seed, "Seed of the stream of training samples")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 60))
      ->capture_default_str();
  show->add_flag("--test", options->held_out, "Samples of the test part instead of training");
  show->add_flag("--json", options->json, "Print one JSON object a sample");
  show->footer("Example: linnet task show mqar:length=32:pairs=4 -n 2");
  show->callback([options] { Show(*options); });
  task->footer("Example: linnet task list");
}

}  // namespace linnet

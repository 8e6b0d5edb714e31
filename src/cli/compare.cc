// linnet compare: several architectures on one task at equal parameters and budgets (lab/compare.h): the
// options, the progress and the report.
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <memory>

#include "base/file.h"
#include "cli/compare_report.h"
#include "cli/interrupt.h"
#include "cli/lab_commands.h"
#include "cli/terminal.h"

namespace linnet {
namespace {

struct Options {
  lab::CompareOptions compare;
  std::string parameters = "350k", budget;
  bool json = false;
};

/// "350k" -> 350000, "1.5M" -> 1500000. Throws Error, naming the flag.
int64_t ParseCount(const std::string& text, const char* flag) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view suffix(end, text.data() + text.size() - end);
  const double unit = suffix == "" ? 1 : suffix == "k" ? 1e3 : suffix == "M" ? 1e6 : suffix == "G" ? 1e9 : 0;
  const double value = number * unit;
  Check(error == std::errc() && value >= 1 && value <= 1e15 && value == std::floor(value),
        "{} must be a number such as 800, 350k or 10M but is '{}'", flag, text);
  return static_cast<int64_t>(value);
}

/// "tokens=10M", "steps=800", "minutes=5"
void ParseBudget(const std::string& text, lab::CompareOptions& options) {
  const size_t equals = text.find('=');
  const std::string kind = text.substr(0, equals);
  const std::string value = equals == std::string::npos ? "" : text.substr(equals + 1);
  if (kind == "tokens") {
    options.tokens = ParseCount(value, "--budget tokens");
  } else if (kind == "steps") {
    options.steps = ParseCount(value, "--budget steps");
  } else {
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), options.minutes);
    Check(kind == "minutes" && error == std::errc() && end == value.data() + value.size() &&
              options.minutes >= 0.02 && options.minutes <= 1e6,
          "--budget must be tokens=10M, steps=800 or minutes=5 (of each run) but is '{}'", text);
  }
}

class Display : public lab::CompareObserver {
 public:
  Display() : line_(stderr), interrupted_(CatchInterrupts()) {}

  void Sized(const lab::ArchitectureResult& result) override {
    std::string sizes;
    for (const auto& [name, size] : result.model.sizes) {
      if (name != "vocab") sizes += fmt::format(" {} {}", name, size);
    }
    line_.Print(fmt::format("{:<12} {} parameters:{}", result.contestant.name,
                            WithCommas(result.model.parameters), sizes));
  }
  void StepDone(const std::string& run, const StepRecord& record, const Progress& progress) override {
    if (record.quality) quality_ = fmt::format(", quality {:.4g}", *record.quality);
    if (record.val_loss) held_out_ = fmt::format(", held out {:.4f}", *record.val_loss);
    line_.Show(fmt::format("{}: {:.0f}%, {} left | loss {:.4f}{}{} | {} tokens/s", run,
                           100 * progress.fraction, ClockTime(progress.seconds_left), record.loss, held_out_,
                           quality_, WithCommas(std::llround(record.tokens_per_s))));
  }
  void RunDone(const std::string& run, const lab::RunResult& result, bool was_there) override {
    quality_.clear(), held_out_.clear();
    const std::string outcome =
        result.failure.empty()
            ? fmt::format("validation loss {:.4f}{}", result.validation_loss, result.solved ? ", solved" : "")
            : "failed: " + result.failure;
    line_.Print(fmt::format("{}: {} after {} steps{}", run, outcome, WithCommas(result.steps),
                            was_there ? " (was there)" : ""));
  }
  bool StopRequested() override { return interrupted_; }

 private:
  ProgressLine line_;
  std::atomic<bool>& interrupted_;
  std::string quality_, held_out_;
};

void RunCompare(Options options) {
  lab::CompareOptions& compare = options.compare;
  compare.parameters = options.parameters == "0" ? 0 : ParseCount(options.parameters, "--params");
  ParseBudget(options.budget, compare);
  compare.version = LINNET_VERSION;
  std::optional<lab::Comparison> comparison;
  {
    Display display;
    comparison = Compare(compare, display);
  }
  if (!comparison) {
    fmt::print(stderr, "stopped; the same command goes on with it\n");
    throw CLI::RuntimeError(130);
  }
  const std::string table = ComparisonTable(*comparison);
  const std::string head = fmt::format("{}, {} tokens in {} sequences a step; medians over {} seed{}\n",
                                       comparison->task, WithCommas(comparison->batch * comparison->length),
                                       comparison->batch, compare.seeds, compare.seeds == 1 ? "" : "s");
  WriteFile(compare.out / "table.txt", head + table);
  WriteComparisonCharts(*comparison, compare.out);
  if (options.json) {
    fmt::print("{}", lab::ToJson(*comparison));
  } else {
    fmt::print("{}\n{}\n{}: table.txt, results.json, by-tokens.svg, by-seconds.svg, by-state.svg\n", head,
               table, compare.out.string());
  }
}

void AddTraining(CLI::App& command, lab::CompareOptions& o) {
  command.add_option("--lr", o.rates, "Learning rates of the grid; a single one is taken as it is")
      ->delimiter(',')
      ->check(CLI::Range(1e-9, 1.0))
      ->capture_default_str();
  command.add_option("--seeds", o.seeds, "Runs of each architecture")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command.add_option("--batch", o.batch, "Sequences a step [the task's own]")->check(CLI::Range(1, 65536));
  command.add_option("--wd", o.wd, "Weight decay of the matrices")
      ->check(CLI::Range(0.0, 10.0))
      ->capture_default_str();
  command.add_option("--until", o.until, "End a run when it is that good on the validation part: 0.995")
      ->check(CLI::Range(0.0, 1.0));
  command.add_option("--precision", o.precision, "Type of the matrices in products: fp32 or bf16")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->capture_default_str();
  command.add_option("--threads", o.threads, "Threads [the physical cores]")->check(CLI::Range(1, 4096));
}

}  // namespace

void AddCompare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  lab::CompareOptions& o = options->compare;
  CLI::App* command = app.add_subcommand(
      "compare", "Train several architectures on a task, at equal parameters, in one table");
  command->add_option("--task", o.task, "The task, with settings if need be; `linnet task list` has them")
      ->required()
      ->type_name("TASK");
  command->add_option("--data", o.data, "What the task learns from, if it is not made of random numbers")
      ->type_name("FILE");
  std::string known;
  for (const Architecture& a : Architectures()) known += (known.empty() ? "" : ", ") + a.name;
  command
      ->add_option("--arch", o.architectures,
                   "What to compare, with sizes if need be: rwkv4,rwkv7:layers=1. There are " + known)
      ->required()
      ->delimiter(',');
  command
      ->add_option("--params", options->parameters,
                   "Parameters of each, within 5%; widths follow. 0: as --arch says")
      ->capture_default_str();
  command->add_option("--layers", o.layers, "Blocks of each")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_option("--budget", options->budget, "Of each run: tokens=10M, steps=800 or minutes=5")
      ->required();
  AddTraining(*command, o);
  command
      ->add_option("-o,--out", o.out, "Folder for the runs and the report; the same command goes on with it")
      ->required()
      ->type_name("DIR");
  command->add_flag("--json", options->json, "Print the report as one JSON object");
  command->footer(
      "Example:\n"
      "  linnet compare --task mqar --arch rwkv4,rwkv6,rwkv7 --params 130k --budget steps=800 -o out/mqar");
  command->callback([options] { RunCompare(*options); });
}

}  // namespace linnet

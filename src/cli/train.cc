// linnet train: the options, the progress line and the curve of a training run.
#include <algorithm>
#include <csignal>
#include <initializer_list>
#include <memory>

#include "base/file.h"
#include "base/parallel.h"
#include "cli/commands.h"
#include "cli/plot.h"
#include "cli/terminal.h"
#include "cli/train_plan.h"
#include "infer/generator.h"
#include "text/tokenizer_of.h"
#include "text/utf8.h"
#include "train/comm.h"
#include "train/data.h"
#include "train/speed.h"
#include "train/trainer.h"
#include "train/tuned_states.h"
#include "train/weights.h"

namespace linnet {
namespace {

volatile std::sig_atomic_t stop_signal = 0;

/// The first Ctrl-C asks for a checkpoint; the second finds the usual effect restored and ends the program.
void StopOn(std::initializer_list<int> signals) {
  struct sigaction action {};
  action.sa_handler = [](int signal) { stop_signal = signal; };
  action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_RESTART;
  for (int signal : signals) sigaction(signal, &action, nullptr);
}

/// "1 layer", "2 layers"
std::string Count(int64_t number, const char* what) {
  return fmt::format("{} {}{}", WithCommas(number), what, number == 1 ? "" : "s");
}

/// A text as one line of a terminal.
std::string OneLine(const std::string& text) {
  std::string line;
  for (char c : Printable(text)) line += c == '\n' ? std::string("\\n") : std::string(1, c);
  return line;
}

/// Draws what happens.
class TrainDisplay : public TrainObserver {
 public:
  TrainDisplay() : line_(stdout) {}

  void Started(const RunFacts& run) override {
    const TrainOptions& o = *run.options;
    const LoadedModel& model = run.weights->model;
    peak_ = MeasureMatMulPeak(o.precision == "bf16" ? DType::kBf16 : DType::kF32);
    flops_per_token_ = TrainingFlopsPerToken(*run.weights);
    tokens_per_step_ = static_cast<double>(o.tokens_per_step());
    steps_ = run.steps;
    line_.Print(fmt::format("model     {}, {} of width {}, {} parameters", model.architecture->title,
                            Count(o.layers, "layer"), o.width, WithCommas(model.params->count())));
    PrintWhatIsTrained(*run.weights);
    line_.Print(
        fmt::format("data      {} {} to learn from, {} held out", WithCommas(run.data->training_tokens()),
                    o.tokenizer == "bytes" ? "bytes" : "tokens", WithCommas(run.data->held_out_tokens())));
    line_.Print(fmt::format("step      {} in samples of {}, {} on {} (GEMM peak {:.0f} GFLOP/s)",
                            Count(o.tokens_per_step(), "token"), o.ctx, o.precision,
                            Count(Threads(), "thread"), peak_ / 1e9));
    if (run.first_step > 0) line_.Print(fmt::format("resumed   at step {}", run.first_step));
    line_.Print(
        fmt::format("Ctrl-C    saves a checkpoint; `linnet train --resume --out {}` goes on with it", o.out));
  }

  void StepDone(const StepRecord& record, const Progress& progress) override {
    // The mean over some ten steps: single ones jump with whatever else the machine does.
    const double step_seconds = tokens_per_step_ / record.tokens_per_s;
    seconds_ += (seconds_ == 0 ? 1 : 0.1) * (step_seconds - seconds_);
    const double tokens_per_s = tokens_per_step_ / seconds_;
    if (record.sample) line_.Print(fmt::format("sample    {}", OneLine(*record.sample)));
    if (record.val_loss) held_out_ = fmt::format(", held out {:.3f}", BitsPerByte(*record.val_loss));
    if (record.ema_val_loss)
      held_out_ += fmt::format(" ({:.3f} averaged)", BitsPerByte(*record.ema_val_loss));
    // What matters least stands last, where a narrow terminal cuts.
    const std::string text = fmt::format(
        "step {}{}, {} left | {:.3f} bits/{}{} | {} tokens/s, {:.0f}% of GEMM peak", progress.steps_done,
        steps_ > 0 ? fmt::format("/{}", steps_) : "", ClockTime(progress.seconds_left),
        BitsPerByte(record.loss), record.tokens_are_bytes ? "byte" : "token", held_out_,
        WithCommas(std::llround(tokens_per_s)), 100 * tokens_per_s * flops_per_token_ / peak_);
    if (progress.fraction >= 1) {
      line_.Finish(text);
    } else {
      line_.Show(text);
    }
  }

  void Message(const std::string& text) override { line_.Print(text); }
  bool StopRequested() override { return stop_signal != 0; }

  std::string Sample(const TrainableModel& weights, const TrainOptions& options, int64_t step) override {
    const LoadedModel& model = weights.model;
    const auto tokenizer =
        TokenizerOf({.model = options.out, .vocab = model.vocab(), .wanted = options.tokenizer, .named = {}});
    Utf8Stream text(Utf8Stream::Mode::kValid);
    std::string sample;
    GenerateOptions generate;
    generate.max_tokens = options.sample_tokens;
    generate.sampler.top_p = 0.9;
    generate.seed = static_cast<uint64_t>(options.seed + step);
    generate.on_text = [&](std::string_view piece) { sample += text.Push(piece); };
    Snapshot beginning;
    if (options.tune == "state") {
      beginning = TunedBeginning(model, weights.parameters());
      generate.resume = &beginning;
    }
    Generate(model, *tokenizer, tokenizer->Encode(options.sample_prompt), generate);
    return sample + text.Finish();
  }

 private:
  /// Where that is not all of the model.
  void PrintWhatIsTrained(const TrainableModel& weights) {
    Dim count = 0;
    for (const Parameter& p : weights.parameters()) count += p.tensor.size();
    if (!weights.beside_model() && count == weights.model.params->count()) return;
    line_.Print(fmt::format("trained   {} parameters in {} tensors; the model's {} stay as they are",
                            WithCommas(count), weights.parameters().size(),
                            weights.beside_model() ? "own" : "others"));
  }

  ProgressLine line_;
  double peak_ = 1, flops_per_token_ = 0, tokens_per_step_ = 0, seconds_ = 0;
  int64_t steps_ = 0;
  std::string held_out_;
};

/// "byte", or "token" where tokens are more.
const char* UnitOf(const std::vector<StepRecord>& records) {
  return std::ranges::all_of(records, &StepRecord::tokens_are_bytes) ? "byte" : "token";
}

Chart LossChart(const std::vector<StepRecord>& records) {
  Chart chart{"Loss of the run", "step", fmt::format("bits per {}", UnitOf(records)), {}};
  Series training{"training", Series::Style::kLine, {}}, held_out{"held out", Series::Style::kMarkers, {}};
  for (const StepRecord& record : records) {
    const auto step = static_cast<double>(record.step + 1);
    training.points.push_back({step, BitsPerByte(record.loss)});
    if (record.val_loss) held_out.points.push_back({step, BitsPerByte(*record.val_loss)});
  }
  chart.series = {std::move(training), std::move(held_out)};
  return chart;
}

/// What processes beside the first watch with: the first one speaks for all.
class StopWatcher : public TrainObserver {
 public:
  bool StopRequested() override { return stop_signal != 0; }
};

[[noreturn]] void EndAtOnce(const std::string& message) {
  fmt::print(stderr, "linnet: {}\n", message);
  std::fflush(nullptr);
  std::_Exit(1);  // the other processes wait for this one: mpirun ends them when it is gone
}

/// Training as one of several processes. What goes wrong is said once: by the first where all know of it, by
/// those who live where one is lost, and else by the one where it happened.
TrainResult TrainTogether(const TrainOptions& options, TrainObserver& observer, Communicator& others) {
  try {
    return Train(options, observer, others);
  } catch (const CommonError& error) {
    if (others.rank() == 0) throw;
    throw CLI::RuntimeError(1);
  } catch (const LostProcess& lost) {
    if (!lost.speaks) std::_Exit(1);
    EndAtOnce(
        fmt::format("{}; go on from its last checkpoint, with as many processes as you like: mpirun -np "
                    "N linnet train --resume --out {}",
                    lost.what(), options.out));
  } catch (const std::exception& error) {
    EndAtOnce(fmt::format("process {} of {}: {}", others.rank(), others.size(), error.what()));
  }
}

TrainResult TrainAs(const TrainOptions& options, Communicator* others) {
  if (others != nullptr && others->rank() > 0) {
    StopWatcher watcher;
    return TrainTogether(options, watcher, *others);
  }
  TrainDisplay display;
  return others == nullptr ? Train(options, display) : TrainTogether(options, display, *others);
}

void RunTraining(const TrainOptions& options, bool plot) {
  StopOn({SIGINT, SIGTERM});
  // A file that may not grow any more is an error of its writer, which says so, as a full disk is.
  std::signal(SIGXFSZ, SIG_IGN);
  const std::unique_ptr<Communicator> others = Connect();
  if (others) StopOn({SIGUSR1});  // which mpirun hands on without killing who takes his time
  const TrainResult result = TrainAs(options, others.get());
  if (others && others->rank() > 0) {
    if (result.interrupted) throw CLI::RuntimeError(130);
    return;
  }
  const std::vector<StepRecord> records = ReadLog(result.log);
  const Chart chart = LossChart(records);
  const std::filesystem::path svg = std::filesystem::path(options.out) / "loss.svg";
  WriteFile(svg, ChartSvg(chart));
  if (plot) fmt::print("{}", DrawChart(chart, std::min(100, TerminalColumns(stdout)), 20, LocaleIsUtf8()));
  if (result.interrupted) {
    fmt::print("stopped after step {}; go on with: linnet train --resume --out {}\n", result.steps,
               options.out);
    std::fflush(stdout);
    throw CLI::RuntimeError(130);
  }
  if (result.val_loss) {
    fmt::print("held-out loss {:.3f} bits per {}\n", BitsPerByte(*result.val_loss), UnitOf(records));
  }
  fmt::print("model {}, curve {}, log {}\n", result.model.string(), svg.string(), result.log.string());
}

/// Gives options that the command line left open the values of a configuration file.
void ReadConfig(CLI::App& command, const std::string& path) {
  ReadFile(path);  // names what is wrong where it cannot be read
  try {
    for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_file(path)) {
      if (item.name == "++" || item.name == "--") continue;  // begin and end of a section
      CLI::Option* option = item.parents.empty() ? command.get_option_no_throw("--" + item.name) : nullptr;
      const bool known = option != nullptr && item.name != "config" && item.name != "help";
      Check(known, "{}: there is no setting '{}'; the names are those of `linnet train --help`", path,
            item.fullname());
      if (option->count() > 0) continue;  // the command line has the last word
      option->add_result(item.inputs);
      option->run_callback();
    }
  } catch (const CLI::Error& error) {
    Fail("{}: {}", path, error.what());
  }
}

struct TrainCommand {
  TrainOptions options;
  std::string config;
  bool plot = false, dry_run = false, json = false;
};

void AddSettings(CLI::App& command, TrainOptions& options) {
  VisitSettings([&](const Setting& setting, auto member) {
    auto& value = options.*member;
    using Value = std::remove_reference_t<decltype(value)>;
    if constexpr (std::is_same_v<Value, bool>) {
      command.add_flag(setting.flag, value, setting.help);
    } else {
      // A default in brackets stands in the help text where the value's own says nothing.
      const std::string help = setting.help;
      CLI::Option* option = command.add_option(setting.flag, value, help);
      const bool has_default = !help.ends_with("]") && value != Value{};
      if (has_default) option->capture_default_str();
      if (std::is_same_v<Value, std::vector<double>>) option->expected(2)->delimiter(',');
    }
  });
}

}  // namespace

void AddTrain(CLI::App& app) {
  CLI::App* command = app.add_subcommand("train", "Train a model on text files, or go on with a run");
  const auto train = std::make_shared<TrainCommand>();
  AddSettings(*command, train->options);
  std::string architectures;
  for (const Architecture& a : Architectures()) {
    if (a.untrainable.empty()) architectures += (architectures.empty() ? "" : ", ") + a.name;
  }
  command->get_option("--arch")->description("Architecture of the model: " + architectures);
  command->add_flag("--plot", train->plot, "Draw the loss curve in the terminal at the end");
  CLI::Option* dry_run = command->add_flag("--dry-run", train->dry_run,
                                           "Say what the run would take, in memory and time; write nothing");
  command->add_flag("--json", train->json, "Print the plan of --dry-run as one JSON object")->needs(dry_run);
  command->add_option("--config", train->config, "File of settings, one `name = value` a line (ctx = 512)");
  command->footer(
      "Example:\n"
      "  linnet train --data book.txt --layers 5 --width 256 --minutes 10 --precision bf16 --out run --plot\n"
      "  linnet generate run/model.safetensors -p \"Once upon\" -n 200\n"
      "  linnet train --init model.gguf --lora 16 --data notes.txt --steps 500 --lr 1e-3 --out tuned\n"
      "  linnet chat model.gguf --lora tuned/model.safetensors");
  command->callback([command, train] {
    if (!train->config.empty()) ReadConfig(*command, train->config);
    VisitSettings([&](const Setting& setting, auto) {
      if (command->count(setting.flag) > 0) train->options.given.insert(setting.flag);
    });
    train->options.version = LINNET_VERSION;
    if (train->dry_run) return PrintPlan(train->options, train->json);
    RunTraining(train->options, train->plot);
  });
}

}  // namespace linnet

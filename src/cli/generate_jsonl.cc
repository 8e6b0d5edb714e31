#include "cli/generate_jsonl.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/hash.h"
#include "cli/model_options.h"
#include "cli/sampling_options.h"
#include "infer/scheduler.h"
#include "text/utf8.h"

namespace linnet {
namespace {

using Json = nlohmann::ordered_json;

/// A line of the input: what to write, under which name.
struct Task {
  Json id;
  std::vector<int> prompt;
  GenerateOptions options;
};

/// The seed of a line follows from that of the whole and its number, not from the order in which texts are
/// written. 32 bits, so that every reader of JSON keeps them.
uint64_t SeedOfLine(uint64_t seed, size_t line) { return Random(seed, line).Bits(); }

void ReadStops(const Json& value, std::vector<std::string>& stops) {
  stops.clear();
  if (value.is_string()) {
    stops.push_back(value);
  } else {
    for (const Json& stop : value) stops.push_back(stop.get<std::string>());
  }
}

const Json& WholeNumber(const Json& object, const char* key) {
  const Json& value = object.at(key);
  Check(value.is_number_unsigned(), "{} must be a whole number of at least 0 but is {}", key, value.dump());
  return value;
}

/// Sets what `object` says. Members that mean nothing here are passed over: files carry all kinds of them.
void ReadOptions(const Json& object, GenerateOptions& options) {
  for (const auto& setting : SamplingSettings(options.sampler)) {
    std::string name = setting.first;
    std::replace(name.begin(), name.end(), '-', '_');
    if (object.contains(name)) SetSampling(options.sampler, setting.first, object.at(name).dump());
  }
  if (object.contains("max_tokens")) options.max_tokens = WholeNumber(object, "max_tokens").get<int64_t>();
  if (object.contains("seed")) options.seed = WholeNumber(object, "seed").get<uint64_t>();
  if (object.contains("past_end")) options.past_end = object.at("past_end").get<bool>();
  if (object.contains("stop")) ReadStops(object.at("stop"), options.stops);
}

Task ReadTask(std::string_view line, size_t number, const Tokenizer& tokenizer, GenerateOptions options) {
  const Json object = Json::parse(line);
  Task task{number, {}, std::move(options)};
  Check(object.is_object() && object.contains("prompt"), "it must be an object with a \"prompt\"");
  if (object.contains("id")) task.id = object.at("id");
  task.prompt = tokenizer.Encode(object.at("prompt").get_ref<const std::string&>());
  ReadOptions(object, task.options);
  Check(task.options.max_tokens >= 0, "max_tokens must be at least 0 but is {}", task.options.max_tokens);
  for (const std::string& stop : task.options.stops) Check(!stop.empty(), "a stop string must not be empty");
  return task;
}

/// All lines that are not blank. Throws Error for the first that makes no sense, and says how many more do
/// not.
std::vector<Task> ReadTasks(std::string_view text, const std::string& file, const Tokenizer& tokenizer,
                            const GenerateOptions& defaults, uint64_t seed) {
  std::vector<Task> tasks;
  std::string first_error;
  size_t errors = 0;
  for (size_t number = 1; !text.empty(); ++number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    GenerateOptions options = defaults;
    options.seed = SeedOfLine(seed, number);
    try {
      tasks.push_back(ReadTask(line, number, tokenizer, std::move(options)));
    } catch (const std::exception& error) {  // of the JSON library, or our own
      if (++errors == 1) first_error = fmt::format("{}:{}: {}", file, number, error.what());
    }
  }
  Check(errors == 0, "{}{}; nothing was generated", first_error,
        errors > 1 ? fmt::format(" (and {} more lines that make no sense)", errors - 1) : "");
  Check(!tasks.empty(), "{}: holds no prompts; a line is an object such as {{\"prompt\": \"Once\"}}", file);
  return tasks;
}

std::string Line(const Task& task, const std::string& text, const FinishedText& end) {
  Json object = {{"id", task.id},
                 {"text", text},
                 {"tokens", end.ids},
                 {"end", end.error.empty() ? EndName(end.end) : "error"},
                 {"prompt_tokens", end.prompt_tokens},
                 {"seed", task.options.seed}};
  if (!end.error.empty()) object["error"] = end.error;
  return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// What is finished, kept in OUT.partial as it comes, so that neither Ctrl-C nor a crash loses it. Its first
/// line says what it belongs to; each other one is the number of a task and the line that OUT will have for
/// it.
class Journal {
 public:
  explicit Journal(const std::string& out) : path_(out + ".partial") {}
  ~Journal() {
    if (file_ != nullptr) std::fclose(file_);
  }
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  /// The seed that unfinished work for OUT was begun with, if there is any.
  std::optional<uint64_t> Seed() const {
    std::ifstream file(path_);
    std::string line;
    if (!std::getline(file, line)) return std::nullopt;
    const Json header = Json::parse(line, nullptr, false);
    if (!header.is_object() || !header.contains("seed") || !header["seed"].is_number_unsigned())
      return std::nullopt;
    return header["seed"].get<uint64_t>();
  }

  /// Takes over the lines of unfinished work on the same tasks; begins anew if there is none. Returns how
  /// many.
  size_t Open(const Json& header, std::vector<std::string>& lines) {
    std::string kept = header.dump() + "\n";
    size_t count = 0;
    std::ifstream old(path_);
    std::string line;
    if (std::getline(old, line) && line + "\n" == kept) {
      while (std::getline(old, line) && !old.eof()) {  // without its end, a line was cut short
        const size_t space = line.find(' '), task = std::strtoull(line.c_str(), nullptr, 10);
        if (space == std::string::npos || task >= lines.size() || !lines[task].empty()) continue;
        lines[task] = line.substr(space + 1);
        kept += line + "\n";
        ++count;
      }
    }
    old.close();
    WriteFile(path_, kept);
    file_ = std::fopen(path_.c_str(), "ab");
    Check(file_ != nullptr, "{}: cannot be written", path_);
    return count;
  }

  void Add(size_t task, const std::string& line) {
    fmt::print(file_, "{} {}\n", task, line);
    Check(std::fflush(file_) == 0, "{}: writing failed", path_);
  }

  void Remove() {
    std::fclose(std::exchange(file_, nullptr));
    std::remove(path_.c_str());
  }

  const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::FILE* file_ = nullptr;
};

/// Generates the tasks whose lines are empty. False if interrupted.
bool RunTasks(const LoadedModel& model, const Tokenizer& tokenizer, std::vector<Task>& tasks, int batch,
              Journal& journal, std::vector<std::string>& lines, const std::atomic<bool>& interrupted) {
  Scheduler scheduler(model, tokenizer, {.slots = static_cast<int>(std::min<size_t>(batch, tasks.size()))});
  Progress progress("generating", "texts");
  int64_t done = 0, left = 0;
  for (size_t i = 0; i < tasks.size(); ++i) {
    if (!lines[i].empty()) continue;
    ++left;
    auto text = std::make_shared<Utf8Stream>(Utf8Stream::Mode::kValid);
    auto output = std::make_shared<std::string>();
    GenerateOptions options = tasks[i].options;
    options.on_text = [text, output](std::string_view piece) { *output += text->Push(piece); };
    scheduler.Add(std::move(tasks[i].prompt), std::move(options),
                  [&, i, text, output](const FinishedText& end) {
                    lines[i] = Line(tasks[i], *output + text->Finish(), end);
                    journal.Add(i, lines[i]);
                    ++done;
                  });
  }
  while (!interrupted && scheduler.Step()) progress.Update(done, left);
  return done == left;
}

/// The same for the same prompts, model and options, however many texts are generated at a time.
std::string WorkName(const std::string& text, const std::string& model_file, const Tokenizer& tokenizer,
                     const GenerateOptions& options) {
  const auto changed = std::filesystem::last_write_time(model_file).time_since_epoch().count();
  std::string rest = fmt::format("{}\n{} {}\n{}\n{} {} {}", std::filesystem::absolute(model_file).string(),
                                 std::filesystem::file_size(model_file), changed, tokenizer.name(),
                                 options.max_tokens, options.past_end, options.sampler.exact_top_p);
  for (const auto& [name, value] : SamplingSettings(options.sampler)) rest += " " + value;
  for (const auto& [token, bias] : options.sampler.bias) rest += fmt::format(" {}={}", token, bias);
  for (const std::string& stop : options.stops) rest += "\n" + stop;
  return fmt::format("{:016x}", Hash(rest, Hash(text)));
}

}  // namespace

CLI::Option* JsonlOptions::AddTo(CLI::App& command) {
  auto* jsonl =
      command
          .add_option("--jsonl", in,
                      "Continue many prompts: a line each, {\"prompt\": \"...\"}, with id, max_tokens, "
                      "seed, stop and sampling options where they differ")
          ->type_name("FILE")
          ->group("Many prompts");
  auto* to = command.add_option("--out", out, "Where their texts go, a line each in the same order")
                 ->type_name("FILE")
                 ->needs(jsonl)
                 ->group("Many prompts");
  jsonl->needs(to);
  command.add_option("--batch", batch, "How many texts are generated at a time")
      ->check(CLI::Range(1, 4096))
      ->needs(jsonl)
      ->capture_default_str()
      ->group("Many prompts");
  return jsonl;
}

bool GenerateJsonl(const LoadedModel& model, const std::string& model_file, const Tokenizer& tokenizer,
                   const JsonlOptions& options, const GenerateOptions& defaults, std::optional<uint64_t> seed,
                   const std::atomic<bool>& interrupted) {
  Journal journal(options.out);
  if (!seed) seed = journal.Seed();
  if (!seed) seed = std::random_device{}();
  const std::string text = ReadFile(options.in);
  std::vector<Task> tasks = ReadTasks(text, options.in, tokenizer, defaults, *seed);
  std::vector<std::string> lines(tasks.size());
  const Json header = {{"seed", *seed}, {"work", WorkName(text, model_file, tokenizer, defaults)}};
  if (const size_t known = journal.Open(header, lines)) {
    fmt::print(stderr, "going on: {} of {} texts were finished in {}\n", known, lines.size(), journal.path());
  }
  if (!RunTasks(model, tokenizer, tasks, options.batch, journal, lines, interrupted)) {
    fmt::print(stderr, "interrupted; what is finished is in {}: the same command goes on from there\n",
               journal.path());
    return false;
  }
  AtomicFile out(options.out);
  for (const std::string& line : lines) out.Write(line + "\n");
  out.Commit();
  journal.Remove();
  return true;
}

}  // namespace linnet

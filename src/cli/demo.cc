// linnet demo: the program in a minute. Trains a small RWKV-7 on the questions and documents that ship with
// linnet, then lets it write, token by token. The demo is three of the program's own commands, which it
// shows, after it has put the text together.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/file.h"
#include "base/random.h"
#include "cli/commands.h"
#include "cli/shipped.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBlock = 3000;  // bytes of a document that stand together
constexpr uint64_t kSeed = 1;

struct DemoOptions {
  double minutes = 1;
  std::string out = "out/run";
};

/// The questions in the form of the chat template "question", each with its answer.
void AddPairs(const fs::path& file, std::vector<std::string>& pieces) {
  std::string text = ReadFile(file);
  for (size_t at = 0, end; at < text.size(); at = end + 1) {
    end = std::min(text.find('\n', at), text.size());
    const auto pair = nlohmann::json::parse(text.substr(at, end - at), nullptr, /*allow_exceptions=*/false);
    const bool sound = pair.is_object() && pair.contains("questions") && pair["questions"].is_array() &&
                       pair.contains("answer") && pair["answer"].is_string();
    Check(sound, "{}: a line is no object with \"questions\" and an \"answer\"", file.string());
    if (pair.contains("follows")) continue;  // means nothing by itself
    for (const auto& question : pair["questions"]) {
      Check(question.is_string(), "{}: a question is no text", file.string());
      pieces.push_back(fmt::format("Question: {}\nAnswer: {}\n\n", question.get<std::string>(),
                                   pair["answer"].get<std::string>()));
    }
  }
}

/// Blocks of whole lines.
void AddDocument(const fs::path& file, std::vector<std::string>& pieces) {
  const std::string text = ReadFile(file);
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', std::min(at + kBlock, text.size())), text.size() - 1) + 1;
    pieces.push_back(text.substr(at, end - at));
    at = end;
  }
}

std::string DemoText() {
  const fs::path pairs = FindShipped("data/howto.jsonl"), docs = FindShipped("docs");
  Check(!pairs.empty() && !docs.empty(),
        "the folders data and docs that ship with linnet are not near the program; run it where it was "
        "built, or "
        "train on a text of your own with `linnet train --data FILE`");
  std::vector<std::string> pieces;
  AddPairs(pairs, pieces);
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(docs)) {
    if (entry.path().extension() == ".md") files.push_back(entry.path());
  }
  std::ranges::sort(files);
  for (const fs::path& file : files) AddDocument(file, pieces);
  Random random(kSeed);
  for (size_t i = pieces.size(); i > 1; --i) std::swap(pieces[i - 1], pieces[random.Below(i)]);
  std::string text;
  for (const std::string& piece : pieces) text += piece;
  return text;
}

/// Runs a command of this program.
void RunCommand(std::vector<std::string> arguments) {
  CLI::App app{"", "linnet"};
  AddTrain(app);
  AddGenerate(app);
  std::ranges::reverse(arguments);  // as CLI11 takes them
  app.parse(arguments);
  std::fflush(stdout);
}

/// A command line as a shell takes it.
std::string Joined(const std::vector<std::string>& words) {
  std::string line = "linnet";
  for (const std::string& word : words) {
    const bool plain = word.find_first_of(" \n#?'") == std::string::npos;
    std::string quoted;
    for (const char c : word) quoted += c == '\n' ? "\\n" : std::string(1, c);
    line += plain ? " " + quoted : " $'" + quoted + "'";
  }
  return line;
}

/// Lets the model write. A model may write any byte; control codes are left out of what it draws from.
void Write(const std::string& model, const std::string& prompt, int seed, const char* stop) {
  std::vector<std::string> command{"generate",      model, "-p",      prompt, "-n",     "240",
                                   "--temperature", "0.7", "--top-p", "0.8",  "--seed", std::to_string(seed)};
  if (stop != nullptr) command.insert(command.end(), {"--stop", stop});
  fmt::print("--- {}\n", Joined(command));
  std::fflush(stdout);
  command.emplace_back("--echo");
  for (int byte = 1; byte < 128; ++byte) {
    const bool control = byte < 32 || byte == 127;
    if (control && byte != '\n' && byte != '\t') {
      command.insert(command.end(), {"--ban", std::to_string(byte)});
    }
  }
  RunCommand(command);
  fmt::print("\n");
}

/// A run that is in the way is kept under another name.
void KeepEarlierRun(const std::string& out) {
  if (!fs::exists(out)) return;
  int number = 1;
  while (fs::exists(fmt::format("{}.{}", out, number))) ++number;
  const std::string kept = fmt::format("{}.{}", out, number);
  fs::rename(out, kept);
  fmt::print("The run that was in {} is kept as {}.\n", out, kept);
}

void RunDemo(const DemoOptions& options) {
  const std::string text = DemoText();
  KeepEarlierRun(options.out);
  // Beside the run's folder, which must be the run's own.
  const std::string corpus = options.out + ".txt", model = options.out + "/model.safetensors";
  fs::create_directories(fs::absolute(options.out).parent_path());
  WriteFile(corpus, text);
  const std::vector<std::string> train{"train",       "--arch",      "rwkv7",
                                       "--layers",    "4",           "--width",
                                       "256",         "--head-size", "64",
                                       "--tokenizer", "bytes",       "--data",
                                       corpus,        "--ctx",       "256",
                                       "--batch",     "4",           "--precision",
                                       "bf16",        "--lr",        "2e-3",
                                       "--lr-final",  "1e-4",        "--warmup",
                                       "20",          "--minutes",   fmt::format("{}", options.minutes),
                                       "--out",       options.out,   "--plot"};
  fmt::print(
      "Training a byte-level RWKV-7 on the questions and documents of linnet. Each step reads whole "
      "sequences in\n"
      "parallel, as a transformer would. Ctrl-C stops it and keeps a checkpoint. The command:\n  {}\n\n",
      Joined(train));
  std::fflush(stdout);
  RunCommand(train);
  fmt::print(
      "\nThe very same weights, read back from {}, now run as an RNN: one token at a time, with a state\n"
      "of constant size as the only memory of what went before. The text is what so small a model learns in "
      "so "
      "short a time.\n\n",
      model);
  Write(model, "Question: What is the state of an RNN?\nAnswer:", 1, "\n\n");
  Write(model, "# ", 2, nullptr);
  fmt::print("To try another beginning:  linnet generate {} -p 'Question: '\n", model);
}

}  // namespace

void AddDemo(CLI::App& app) {
  const auto options = std::make_shared<DemoOptions>();
  CLI::App* command =
      app.add_subcommand("demo", "Train a small model for a minute on linnet's own text, and let it write");
  command->add_option("--minutes", options->minutes, "Length of the training")
      ->check(CLI::Range(1e-3, 1e6))
      ->capture_default_str();
  command
      ->add_option("--out", options->out, "Folder for the run; one that is there is kept under another name")
      ->type_name("DIR")
      ->capture_default_str();
  command->footer("Example: linnet demo --minutes 10");
  command->callback([options] { RunDemo(*options); });
}

}  // namespace linnet

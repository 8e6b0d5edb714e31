// linnet eval: how well a model predicts text. With --json one object, whose fields are a stable contract;
// a number that is not finite is null:
//   ppl      model, documents, bytes, tokens (those predicted), window, start_token, loss (nats a token),
//            perplexity, bits_per_byte, seconds
//   lambada  model, examples, tokens, accuracy, accuracy_stderr, loss (nats an example), perplexity, seconds
//   choices  cli/eval_choices.cc
//   answers  cli/eval_answers.cc
#include "cli/eval.h"

#include <chrono>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "infer/evaluate.h"

namespace linnet {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

Documents::Documents(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (name.ends_with(".jsonl")) {
      for (TextLine& line : ReadTextLines(name)) lines.push_back(std::move(line));
    } else {
      files.emplace_back(name);
    }
  }
  for (const MappedFile& file : files) {
    texts.emplace_back(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  }
  for (const TextLine& line : lines) texts.emplace_back(line.text);
}

void AddTextOption(CLI::App& command, std::vector<std::string>& files) {
  command
      .add_option("--text", files,
                  "Files, each a document; in a .jsonl file the \"text\" of every line is one")
      ->required()
      ->type_name("FILE...");
}

std::string ShareText(double share, int64_t count) {
  return fmt::format("{:.2f}% (standard error {:.2f}%)", 100 * share, 100 * StandardError(share, count));
}

namespace {

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct PplOptions {
  ModelOptions model;
  std::vector<std::string> files;
  WindowOptions window;
  bool json = false;
};

void RunPpl(const PplOptions& options) {
  const LoadedModel model = options.model.Load();
  const auto tokenizer = options.model.OpenTokenizer(model);
  const Documents documents(options.files);
  Progress progress("scoring");
  const auto start = Clock::now();
  const TextLoss result = LossOfTexts(model, *tokenizer, documents.texts, options.window,
                                      [&](int64_t done, int64_t total) { progress.Update(done, total); });
  progress.Clear();
  const double seconds = SecondsSince(start);
  if (options.json) {
    const Json object = {{"model", options.model.path},
                         {"documents", documents.texts.size()},
                         {"bytes", result.bytes},
                         {"tokens", result.tokens},
                         {"window", options.window.window},
                         {"start_token", options.window.start_token},
                         {"loss", result.loss()},
                         {"perplexity", result.perplexity()},
                         {"bits_per_byte", result.bits_per_byte()},
                         {"seconds", seconds}};
    fmt::print("{}\n", object.dump(-1, ' ', false, Json::error_handler_t::replace));
    return;
  }
  const int64_t window = options.window.window;
  PrintLabelled({{"text", fmt::format("documents {}, bytes {}, tokens {}",
                                      WithCommas(static_cast<int64_t>(documents.texts.size())),
                                      WithCommas(result.bytes), WithCommas(result.tokens))},
                 {"context", window > 0 ? fmt::format("at most {} tokens", WithCommas(window))
                                        : "all that stands before"},
                 {"loss", fmt::format("{:.4f} nats a token", result.loss())},
                 {"perplexity", fmt::format("{:.4f}", result.perplexity())},
                 {"bits per byte", fmt::format("{:.4f}", result.bits_per_byte())},
                 {"speed", fmt::format("{:.0f} tokens/s", static_cast<double>(result.tokens) / seconds)}});
}

void AddPpl(CLI::App& eval) {
  auto options = std::make_shared<PplOptions>();
  CLI::App* command = eval.add_subcommand("ppl", "Loss, perplexity and bits per byte of texts");
  options->model.AddTo(*command);
  AddTextOption(*command, options->files);
  command
      ->add_option("--window", options->window.window,
                   "Begin anew after so many tokens; 0 carries the state through a whole document")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40))
      ->capture_default_str();
  command->add_flag("--start-token,!--no-start-token", options->window.start_token,
                    "Begin a document, and every window, after the end-of-text token 0, so that every byte "
                    "counts (the default); without, the first token is not predicted and does not count");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer("Example: linnet eval ppl model.safetensors --text book.txt --window 1024");
  command->callback([options] { RunPpl(*options); });
}

struct LambadaOptions {
  ModelOptions model;
  std::string file;
  int64_t limit = 0;
  bool json = false;
};

void RunLambada(const LambadaOptions& options) {
  const LoadedModel model = options.model.Load();
  const auto tokenizer = options.model.OpenTokenizer(model);
  std::vector<CompletionText> texts = ReadCompletions(options.file);
  if (options.limit > 0 && options.limit < static_cast<int64_t>(texts.size()))
    texts.resize(static_cast<size_t>(options.limit));
  std::vector<Completion> examples;
  for (const CompletionText& text : texts) {
    examples.push_back({tokenizer->Encode(text.context), tokenizer->Encode(text.target)});
  }
  Progress progress("scoring", "examples");
  const auto start = Clock::now();
  const CompletionLoss result =
      LossOfCompletions(model, examples, [&](int64_t done, int64_t total) { progress.Update(done, total); });
  progress.Clear();
  if (options.json) {
    const Json object = {{"model", options.model.path},
                         {"examples", result.examples},
                         {"tokens", result.tokens},
                         {"accuracy", result.accuracy()},
                         {"accuracy_stderr", StandardError(result.accuracy(), result.examples)},
                         {"loss", result.loss()},
                         {"perplexity", result.perplexity()},
                         {"seconds", SecondsSince(start)}};
    fmt::print("{}\n", object.dump(-1, ' ', false, Json::error_handler_t::replace));
    return;
  }
  PrintLabelled({{"examples", fmt::format("{}, {} tokens to predict", WithCommas(result.examples),
                                          WithCommas(result.tokens))},
                 {"accuracy", ShareText(result.accuracy(), result.examples)},
                 {"perplexity", fmt::format("{:.4f} an example", result.perplexity())}});
}

void AddLambada(CLI::App& eval) {
  auto options = std::make_shared<LambadaOptions>();
  CLI::App* command = eval.add_subcommand(
      "lambada", "Predict the last word of passages: accuracy and perplexity as RWKV-LM counts them");
  options->model.AddTo(*command);
  command
      ->add_option("--data", options->file,
                   "JSON lines with a \"text\" each, whose last word, with the blank before it, is predicted")
      ->required()
      ->type_name("FILE");
  command->add_option("--limit", options->limit, "Only the first so many examples; 0 is all")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40));
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer("Example: linnet eval lambada model.safetensors --data lambada_test.jsonl");
  command->callback([options] { RunLambada(*options); });
}

}  // namespace

void AddEval(CLI::App& app) {
  CLI::App* eval = app.add_subcommand("eval", "Score a model: perplexity, LAMBADA, multiple choice, answers");
  eval->require_subcommand(1);
  AddPpl(*eval);
  AddLambada(*eval);
  AddEvalChoices(*eval);
  AddEvalAnswers(*eval);
  eval->footer("Example: linnet eval ppl model.safetensors --text book.txt");
}

}  // namespace linnet

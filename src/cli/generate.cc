// linnet generate: continues a text. Text goes to stdout as it is generated, everything else to stderr. A
// pipe receives the bytes that the model produced; a terminal receives whole characters and no control codes
// but tabs and line ends.
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/generate_jsonl.h"
#include "cli/interrupt.h"
#include "cli/model_options.h"
#include "cli/sampling_options.h"
#include "infer/generator.h"
#include "infer/grammar_constraint.h"
#include "infer/json_schema.h"
#include "text/utf8.h"

namespace linnet {
namespace {

struct CommandOptions {
  ModelOptions model;
  std::string prompt, prompt_file;
  CLI::Option* prompt_given = nullptr;
  GenerateOptions generate;
  SamplingOptions sampling;
  std::string state_in, state_out;
  std::string grammar, json_schema;  // files
  JsonlOptions jsonl;
  bool stream = true, echo = false, stats = false, json = false;
};

std::string ReadStandardInput() {
  std::string text;
  char buffer[1 << 16];
  while (const size_t n = std::fread(buffer, 1, sizeof buffer, stdin)) text.append(buffer, n);
  Check(!std::ferror(stdin), "standard input: reading failed");
  return text;
}

std::string ReadPrompt(const CommandOptions& options) {
  if (*options.prompt_given) return options.prompt;
  if (options.prompt_file == "-") return ReadStandardInput();
  if (!options.prompt_file.empty()) return ReadFile(options.prompt_file);
  return isatty(STDIN_FILENO) ? "" : ReadStandardInput();
}

/// What the output must look like; null if nothing is said of it.
std::unique_ptr<Constraint> ReadConstraint(const CommandOptions& options, const Tokenizer& tokenizer) {
  const bool is_schema = !options.json_schema.empty();
  const std::string& file = is_schema ? options.json_schema : options.grammar;
  if (file.empty()) return nullptr;
  const std::string text = ReadFile(file);
  const Grammar grammar = is_schema ? Grammar(JsonSchemaGrammar(text, file), file) : Grammar(text, file);
  return GrammarMatcher::Make(grammar, std::make_shared<VocabularyTree>(tokenizer))->NewText();
}

/// Where the generated text goes: to stdout at once, or into a string.
class Output {
 public:
  explicit Output(const CommandOptions& options)
      : utf8_(ModeFor(options)), streams_(options.stream && !options.json) {}

  bool streams() const { return streams_; }
  void Push(std::string_view piece) { Put(utf8_.Push(piece)); }
  /// Ends the text and returns it, if it was not streamed.
  const std::string& Finish() {
    Put(utf8_.Finish());
    return text_;
  }

 private:
  static Utf8Stream::Mode ModeFor(const CommandOptions& options) {
    if (options.json) return Utf8Stream::Mode::kValid;
    return isatty(STDOUT_FILENO) ? Utf8Stream::Mode::kTerminal : Utf8Stream::Mode::kRaw;
  }

  void Put(const std::string& text) {
    if (!streams_) {
      text_ += text;
    } else if (!text.empty()) {
      std::fwrite(text.data(), 1, text.size(), stdout);
      Check(std::fflush(stdout) == 0, "standard output: writing failed");
    }
  }

  Utf8Stream utf8_;
  bool streams_;
  std::string text_;
};

void PrintStats(const Generation& result, uint64_t seed) {
  fmt::print(
      stderr,
      "prompt: {} tokens, {:.1f} tokens/s; generated: {} tokens, {:.1f} tokens/s; ended by: {}; seed {}\n",
      result.prompt_tokens, result.prompt_tokens_per_second(), result.tokens, result.tokens_per_second(),
      EndName(result.end), seed);
}

void PrintJson(const std::string& text, const Generation& result, uint64_t seed) {
  const nlohmann::ordered_json object = {{"text", text},
                                         {"end", EndName(result.end)},
                                         {"prompt_tokens", result.prompt_tokens},
                                         {"tokens", result.tokens},
                                         {"prompt_tokens_per_s", result.prompt_tokens_per_second()},
                                         {"tokens_per_s", result.tokens_per_second()},
                                         {"seed", seed}};
  fmt::print("{}\n", object.dump());
}

void RunJsonl(CommandOptions& options, const LoadedModel& model, const Tokenizer& tokenizer) {
  options.generate.sampler = options.sampling.Resolve(tokenizer);
  const bool done = GenerateJsonl(model, options.model.path, tokenizer, options.jsonl, options.generate,
                                  options.sampling.given_seed(), CatchInterrupts());
  if (!done) throw CLI::RuntimeError(130);
}

void RunGenerate(CommandOptions& options) {
  const LoadedModel model = options.model.Load();
  const auto tokenizer = options.model.OpenTokenizer(model);
  if (!options.jsonl.in.empty()) return RunJsonl(options, model, *tokenizer);
  const std::string prompt = ReadPrompt(options);
  std::vector<int> tokens = tokenizer->Encode(prompt);
  options.sampling.ChooseSeed();
  options.generate.seed = options.sampling.seed;
  options.generate.sampler = options.sampling.Resolve(*tokenizer);

  const auto constraint = ReadConstraint(options, *tokenizer);
  options.generate.constraint = constraint.get();

  Snapshot resume, end;
  if (!options.state_in.empty()) {
    resume = ReadStateIn(options.state_in, model, *tokenizer);
    options.generate.resume = &resume;
  }
  if (!options.state_out.empty()) options.generate.snapshot = &end;

  Output output(options);
  Progress reading("reading the prompt"), generating("generating");
  const auto prompt_tokens = static_cast<int64_t>(tokens.size());
  options.generate.on_text = [&](std::string_view piece) {
    reading.Clear();
    output.Push(piece);
  };
  options.generate.on_progress = [&](int64_t read, int64_t generated) {
    if (generated == 0) return reading.Update(read, prompt_tokens);
    if (!output.streams()) generating.Update(generated, options.generate.max_tokens);
  };
  options.generate.interrupted = &CatchInterrupts();
  if (options.echo) output.Push(prompt);
  const Generation result = Generate(model, *tokenizer, std::move(tokens), options.generate);
  reading.Clear();
  generating.Clear();

  const std::string& text = output.Finish();
  if (options.json) {
    PrintJson(text, result, options.generate.seed);
  } else {
    fmt::print("{}{}", text, isatty(STDOUT_FILENO) ? "\n" : "");
  }
  std::fflush(stdout);
  if (options.stats) PrintStats(result, options.generate.seed);
  if (!end.variables.empty()) WriteSnapshot(options.state_out, model, tokenizer->name(), end);
  if (result.end == Generation::End::kInterrupted) throw CLI::RuntimeError(130);
}

}  // namespace

void AddGenerate(CLI::App& app) {
  auto options = std::make_shared<CommandOptions>();
  CLI::App* command = app.add_subcommand("generate", "Continue a text with a model, token by token");
  options->model.AddTo(*command);
  options->prompt_given = command->add_option("-p,--prompt", options->prompt, "The text to continue");
  command
      ->add_option("--prompt-file", options->prompt_file,
                   "A file with it; - is standard input, which is also read if there is no prompt and it is "
                   "no terminal")
      ->excludes(options->prompt_given);
  command->add_option("-n", options->generate.max_tokens, "How many tokens to generate at most")
      ->check(CLI::Range(int64_t{0}, int64_t{1'000'000'000'000}))
      ->capture_default_str();
  command->add_option("--stop", options->generate.stops, "End before this text; may be given several times")
      ->type_name("TEXT")
      ->take_all()
      ->expected(1);
  command->add_flag("--past-end", options->generate.past_end, "Go on after the end-of-text token (0)");
  CLI::Option* grammar =
      command
          ->add_option("--grammar", options->grammar, "Write only what this grammar allows (docs/grammar.md)")
          ->type_name("FILE");
  CLI::Option* schema =
      command->add_option("--json-schema", options->json_schema, "Write only JSON that fits this schema")
          ->type_name("FILE")
          ->excludes(grammar);
  options->sampling.sampler.top_p = 0.85;
  options->sampling.AddTo(*command);
  command
      ->add_option("--state-in", options->state_in,
                   "Go on from a state that --state-out wrote, or from a tuned one (.pth)")
      ->type_name("FILE");
  command
      ->add_option("--state-out", options->state_out,
                   "Write the state after the text, to be continued with --state-in")
      ->type_name("FILE");
  command->add_flag("--stream,!--no-stream", options->stream,
                    "Print text as it comes (the default), or all at the end");
  command->add_flag("--echo", options->echo, "Print the prompt, too");
  command->add_flag("--stats", options->stats, "Print the speed and the seed to stderr");
  command->add_flag("--json", options->json,
                    "Print one JSON object: the text, how it ended, counts, speeds, the seed");
  CLI::Option* jsonl = options->jsonl.AddTo(*command);
  for (const char* other : {"--prompt", "--prompt-file", "--state-in", "--state-out"}) jsonl->excludes(other);
  jsonl->excludes(grammar)->excludes(schema);
  command->footer(
      "Example: linnet generate model.safetensors -p \"What is a state?\" -n 200 --top-p 0.7 --stats");
  command->callback([options] { RunGenerate(*options); });
}

}  // namespace linnet

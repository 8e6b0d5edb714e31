// linnet chat: a conversation with a model. A person at a terminal gets a line editor, labels and commands;
// in a pipe each line is a message and standard output has the answers, a line or more each.
#include <unistd.h>

#include <cstdio>

#include "cli/chat_session.h"
#include "cli/chat_template.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/message_reader.h"
#include "cli/model_options.h"
#include "cli/sampling_options.h"
#include "cli/shipped.h"
#include "cli/terminal.h"

namespace linnet {
namespace {

constexpr int kStoppedByCtrlC = 130;

struct CommandOptions {
  ModelOptions model;
  CLI::App* command = nullptr;
  std::string prompt, chat, think = "off", system;
  std::string state_in, state_out, load;
  SamplingOptions sampling;
  ChatSettings settings;
  bool json = false;

  bool Given(const char* flag) const { return command->count(flag) > 0; }
};

/// The sampling that the model's kind is used to, but for what was given.
void UseUsualSampling(const CommandOptions& options, const ChatSampling& usual, SamplerOptions& sampler) {
  if (!options.Given("--temperature")) sampler.temperature = usual.temperature;
  if (!options.Given("--top-p")) sampler.top_p = usual.top_p;
  if (!options.Given("--presence-penalty")) sampler.presence_penalty = usual.presence_penalty;
  if (!options.Given("--frequency-penalty")) sampler.frequency_penalty = usual.frequency_penalty;
}

ChatSettings SettingsFor(CommandOptions& options, const LoadedModel& model, const Tokenizer& tokenizer) {
  ChatSettings settings = options.settings;
  settings.chat = &ChatTemplateFor(options.chat, model, tokenizer, options.model.path);
  settings.think = &FindThinkForm(options.think);
  Check(settings.chat->thinks || settings.think->before_answer.empty(),
        "--think: models of the template '{}' were not trained to think", settings.chat->name);
  if (options.Given("--system")) settings.system = options.system;
  UseUsualSampling(options, settings.chat->sampling, options.sampling.sampler);
  settings.sampler = options.sampling.Resolve(tokenizer);
  options.sampling.ChooseSeed();
  settings.seed = options.sampling.seed;
  const bool terminal = isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0 && options.prompt.empty();
  settings.output = options.json ? ChatOutput::kJson : terminal ? ChatOutput::kTerminal : ChatOutput::kPlain;
  return settings;
}

/// Reads messages until there are no more. At a terminal a mistake is said and nothing else happens; in a
/// pipe it ends the program.
void Converse(ChatSession& session, bool terminal) {
  MessageReader reader(terminal);
  std::atomic<bool>& interrupted = CatchInterrupts();
  while (const auto message = reader.Next(session.prompt())) {
    try {
      if (!session.Handle(*message)) return;
    } catch (const Error& error) {
      if (!terminal) throw;
      fmt::print(stderr, "{}\n", error.what());
    }
    if (interrupted && !terminal) return;
    interrupted = false;
  }
  if (terminal) fmt::print("\n");
}

void RunChat(CommandOptions& options) {
  if (options.model.path.empty()) options.model.path = StarterModel();
  const LoadedModel model = options.model.Load();
  const auto tokenizer = options.model.OpenTokenizer(model);
  const ChatSettings settings = SettingsFor(options, model, *tokenizer);
  const bool terminal = settings.output == ChatOutput::kTerminal;
  std::optional<Snapshot> start;
  if (!options.state_in.empty()) start = ReadStateIn(options.state_in, model, *tokenizer);
  ChatSession session(model, *tokenizer, settings, std::move(start));
  CatchInterrupts();
  if (terminal) {
    fmt::print(
        "{}, {} layers of width {}\nTemplate {}, for {}\n/help shows what you can do, Ctrl-D leaves.\n",
        model.architecture->title, model.sizes.at("layers"), model.sizes.at("width"), settings.chat->name,
        settings.chat->title);
  }
  if (!options.load.empty()) session.Load(options.load);
  if (!options.prompt.empty()) {
    session.Ask(options.prompt);
  } else {
    Converse(session, terminal);
  }
  const bool interrupted = CatchInterrupts().exchange(false);
  if (!options.state_out.empty()) {
    if (const auto position = session.Position())
      WriteSnapshot(options.state_out, model, tokenizer->name(), *position);
  }
  if (interrupted) throw CLI::RuntimeError(kStoppedByCtrlC);
}

std::string Names(auto rows) {
  std::string names;
  for (const auto& row : rows) names += (names.empty() ? "" : ", ") + std::string(row.name);
  return names;
}

}  // namespace

void AddChat(CLI::App& app) {
  auto options = std::make_shared<CommandOptions>();
  CLI::App* command = options->command = app.add_subcommand("chat", "Talk with a model");
  options->model.AddTo(*command);
  command->get_option("model")->required(false)->description(
      "The model: .safetensors, .pth, .gguf, .bin of rwkv.cpp, or a folder; the one that ships with linnet "
      "if "
      "not given");
  command->add_option("-p,--prompt", options->prompt, "Ask this, print the answer and leave");
  command->add_option(
      "--template", options->chat,
      "How conversations are written: " + Names(ChatTemplates()) + "; chosen by the model if not given");
  auto* system = command->add_option("--system", options->system, "What the model should know or be");
  command
      ->add_option("--think", options->think,
                   "How an RWKV-7 G1 model thinks before it answers: " + Names(ThinkForms()))
      ->capture_default_str();
  command->add_option("-n,--tokens", options->settings.max_tokens, "Tokens of an answer at most")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000'000}))
      ->capture_default_str();
  command
      ->add_option("--stop", options->settings.stops,
                   "End answers before this text, too; may be given several times")
      ->type_name("TEXT")
      ->take_all()
      ->expected(1);
  auto* state_in = command->add_option("--state-in", options->state_in,
                                       "Begin with a state that --state-out wrote, or a tuned one (.pth)");
  state_in->type_name("FILE")->excludes(system);
  command->add_option("--state-out", options->state_out, "Write the state at the end")->type_name("FILE");
  command->add_option("--load", options->load, "Go on with a conversation that /save wrote")
      ->type_name("FILE")
      ->excludes(system)
      ->excludes(state_in);
  options->sampling.AddTo(*command);
  // What begins is the template's, not a default that help could print.
  for (CLI::Option* option : command->get_options()) {
    if (option->get_group() == "Sampling") option->default_str("");
  }
  command->add_flag("--stats", options->settings.stats, "Print speed and seed of each answer to stderr");
  command->add_flag("--json", options->json, "Print one JSON object an answer");
  command->footer(
      "Sampling begins with what is usual for the model's kind. In a pipe each line is a message.\n"
      "Example: linnet chat model.safetensors --system \"You are a poet.\" --top-p 0.5");
  command->callback([options] { RunChat(*options); });
}

}  // namespace linnet

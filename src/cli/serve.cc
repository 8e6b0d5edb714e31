// linnet serve: one process, one port: OpenAI's API and the page.
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "cli/chat_template.h"
#include "cli/commands.h"
#include "cli/model_options.h"
#include "cli/shipped.h"
#include "serve/conversations.h"
#include "serve/inside.h"
#include "serve/metrics.h"
#include "serve/ollama.h"
#include "serve/openai.h"
#include "serve/responses.h"
#include "serve/runs_api.h"
#include "serve/server.h"
#include "serve/state_store.h"
#include "serve/states_api.h"
#include "serve/static_files.h"
#include "serve/tokenizer_api.h"
#include "serve/variants.h"

namespace linnet {
namespace {

struct ServeOptions {
  ModelOptions model;
  std::string chat, think = "off", name, key_file, runs;
  std::vector<std::string> cors;
  std::string state_store;                       // "": DefaultStateStore()
  std::vector<std::string> named_loras, states;  // NAME=FILE
  Server::Options server;
  Engine::Options engine;
  Served served;
  int64_t cache_mb = 512, cache_dir_mb = 4096, body_mb = 16, store_mb = kClientStoreBytes >> 20;
  int timeout_s = 30, drain_s = 30;
};

/// What clients call a model unless --name says so: its file's name, or its folder's.
std::string NameOf(std::filesystem::path path) {
  if (!path.has_filename()) path = path.parent_path();
  return path.stem().string();
}

int64_t ModificationTime(const std::string& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0 ? status.st_mtime : 0;
}

/// Where conversations are kept unless --state-store says so: where systemd or the user keeps such things.
std::string DefaultStateStore() {
  const auto folder = [](const char* variable) {
    const char* value = std::getenv(variable);
    return std::filesystem::path(value == nullptr ? "" : value);
  };
  if (!folder("STATE_DIRECTORY").empty()) return folder("STATE_DIRECTORY") / "states.db";
  if (!folder("XDG_DATA_HOME").empty()) return folder("XDG_DATA_HOME") / "linnet/states.db";
  if (!folder("HOME").empty()) return folder("HOME") / ".local/share/linnet/states.db";
  return "memory";
}

/// Of the LoRAs those that have names are for requests to choose, the others are part of the model.
void FindNamedLoras(ServeOptions& options) {
  std::vector<std::string>& loras = options.model.loras;
  const auto unnamed = std::stable_partition(loras.begin(), loras.end(), [](const std::string& text) {
    return text.find('=') != std::string::npos;
  });
  options.named_loras.assign(loras.begin(), unnamed);
  loras.erase(loras.begin(), unnamed);
}

std::unique_ptr<StateStore> OpenStore(const ServeOptions& options, const LoadedModel& model) {
  constexpr int64_t kMb = 1 << 20;
  std::string place = options.state_store.empty() ? DefaultStateStore() : options.state_store;
  if (place == "memory") place.clear();
  return OpenStateStore(place, Fingerprint(model), options.store_mb * kMb);
}

/// What the APIs need to know of the model, but for the engine.
Served ServedOf(const ServeOptions& options, const LoadedModel& model, const Tokenizer& tokenizer) {
  Served served = options.served;
  served.tokenizer = &tokenizer;
  served.name = options.name.empty() ? NameOf(options.model.path) : options.name;
  served.created = ModificationTime(options.model.path);
  served.fingerprint = "linnet-" LINNET_VERSION "-" + Fingerprint(model).substr(0, 8);
  served.chat = &ChatTemplateFor(options.chat, model, tokenizer, options.model.path);
  served.think = &FindThinkForm(options.think);
  Check(served.chat->thinks || served.think->before_answer.empty(),
        "--think: models of the template '{}' were not trained to think", served.chat->name);
  const ChatSampling& usual = served.chat->sampling;
  served.chat_sampler.temperature = usual.temperature;
  served.chat_sampler.top_p = usual.top_p;
  served.chat_sampler.presence_penalty = usual.presence_penalty;
  served.chat_sampler.frequency_penalty = usual.frequency_penalty;
  return served;
}

/// The limits that flags give in other units.
void SetLimits(ServeOptions& options) {
  constexpr int64_t kMb = 1 << 20;
  options.engine.cache_bytes = options.cache_mb * kMb;
  options.engine.cache_dir_bytes = options.cache_dir_mb * kMb;
  options.server.max_body_bytes = static_cast<uint64_t>(options.body_mb * kMb);
  const Server::Milliseconds limit = std::chrono::seconds(options.timeout_s);
  options.server.header_timeout = options.server.write_timeout = limit;
  options.server.body_timeout = 2 * limit;
}

std::vector<HttpRoute> Routes(const Served& served, Conversations& conversations, InsideReader& inside,
                              const Server& server, const std::string& runs) {
  std::vector<HttpRoute> routes = OpenAiRoutes(served);
  const auto add = [&](std::vector<HttpRoute> more) {
    routes.insert(routes.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  };
  add(ResponsesRoutes(served, conversations));
  add(StatesRoutes(served, conversations));
  add(OllamaRoutes(served));
  add(TokenizerRoutes(served));
  add(StatusRoutes(*served.engine, server));
  add(InsideRoutes(inside));
  if (!runs.empty()) add(RunRoutes(runs));
  add(StaticRoutes(WebAssets()));
  return routes;
}

void RunServe(ServeOptions& options) {
  if (options.model.path.empty()) options.model.path = StarterModel();
  SetLimits(options);
  FindNamedLoras(options);
  Router::Options routing;
  routing.cors = options.cors;
  if (!options.key_file.empty()) routing.keys = ApiKeys::Read(options.key_file);
  Server server(options.server, std::move(routing));  // what the command line has wrong shows before the load
  const LoadedModel model = options.model.Load();
  const auto tokenizer = options.model.OpenTokenizer(model);
  Served served = ServedOf(options, model, *tokenizer);
  const Variants variants(model, *tokenizer, options.named_loras, options.states);
  for (const std::string& warning : variants.warnings()) fmt::print(stderr, "linnet: {}\n", warning);
  served.variant_of = [&](const std::string& lora, const std::string& state) {
    return variants.Of(lora, state);
  };
  served.lora_names = variants.lora_names();
  served.state_names = variants.state_names();
  const auto store = OpenStore(options, model);
  Engine engine(model, *tokenizer, options.engine);
  served.engine = &engine;
  Conversations conversations(*store, options.engine.cache_bytes / 4);
  served.conversations = &conversations;
  InsideReader inside(served);
  server.Start(Routes(served, conversations, inside, server, options.runs));
  fmt::print("Serving {} ({}, template {}) at {}\n", served.name, model.architecture->title,
             served.chat->name, server.url());
  std::fflush(stdout);
  server.WaitForSignal();
  fmt::print("Stopping: {} requests are being answered\n", server.Figures().running);
  std::fflush(stdout);
  server.Drain();
  engine.Drain(std::chrono::seconds(options.drain_s));
  server.Stop(std::chrono::seconds(5));
}

void AddLimits(CLI::App& command, ServeOptions& options) {
  const auto add = [&](const char* flag, auto& value, auto lowest, auto highest, const char* help) {
    command.add_option(flag, value, help)
        ->check(CLI::Range(lowest, highest))
        ->capture_default_str()
        ->group("Limits");
  };
  add("--slots", options.engine.slots, 1, 4096, "Texts that are written at once; more wait");
  add("--queue", options.engine.queue, 0, 1 << 20, "Texts that may wait; further ones are refused (429)");
  add("--max-tokens", options.served.max_tokens, int64_t{1}, int64_t{1} << 40, "Tokens of an answer");
  add("--max-prompt-tokens", options.served.max_prompt_tokens, int64_t{1}, int64_t{1} << 40,
      "Tokens of a prompt");
  add("--max-body-mb", options.body_mb, int64_t{1}, int64_t{4096}, "Megabytes of a request");
  add("--max-connections", options.server.max_connections, 1, 1 << 20, "Connections at once");
  add("--timeout", options.timeout_s, 1, 3600,
      "Seconds for a client to send a request's headers, or to take a piece of its answer");
  add("--drain", options.drain_s, 0, 86400, "Seconds that answers have to end when the server is stopped");
  add("--cache-mb", options.cache_mb, int64_t{0}, int64_t{1} << 30,
      "Megabytes of states kept in memory, and a quarter more of conversations");
  add("--cache-dir-mb", options.cache_dir_mb, int64_t{0}, int64_t{1} << 30,
      "Megabytes of states kept on disk");
  add("--store-mb", options.store_mb, int64_t{1}, int64_t{1} << 30,
      "Megabytes of conversations that are kept of each client; the oldest go");
}

}  // namespace

void AddServe(CLI::App& app) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* command = app.add_subcommand("serve", "Serve a model to clients of OpenAI's API, and a page");
  options->model.AddTo(*command);
  command->get_option("model")->required(false)->description(
      "The model: .safetensors, .pth, .gguf, .bin of rwkv.cpp, or a folder; the one that ships with linnet "
      "if not given");
  command->add_option("--host", options->server.host, "The address to listen on")->capture_default_str();
  command->add_option("--port", options->server.port, "The port; 0 takes a free one")->capture_default_str();
  command
      ->add_option("--api-key-file", options->key_file,
                   "Only clients with one of these keys may use the server: one a line, # begins a comment")
      ->type_name("FILE");
  command
      ->add_option(
          "--cors", options->cors,
          "Pages of this origin may use the server (https://example.org, or * for all); may be given "
          "several times")
      ->type_name("ORIGIN")
      ->allow_extra_args(false);
  command->get_option("--lora")
      ->type_name("[NAME=]FILE[:FACTOR]")
      ->description(
          "A LoRA to add to the model or, with a name, for requests to choose (field \"lora\"). May be given "
          "several times");
  command
      ->add_option("--state", options->states,
                   "A state, tuned or of --state-out, for requests to begin with (field \"state\"). May be "
                   "given several times")
      ->type_name("NAME=FILE")
      ->allow_extra_args(false);
  command
      ->add_option("--state-store", options->state_store,
                   "Where conversations are kept: a file (of SQLite; the default, in ~/.local/share/linnet), "
                   "redis://[[USER]:PASSWORD@]HOST[:PORT][/DB], or memory")
      ->envname("LINNET_STATE_STORE")
      ->type_name("PLACE");
  command
      ->add_option("--runs", options->runs,
                   "The page follows the logs of the training runs that are below this folder")
      ->type_name("DIR");
  command->add_option("--name", options->name, "What clients call the model; its file's name if not given");
  command->add_option("--template", options->chat,
                      "How conversations are written (see linnet chat); chosen by the model if not given");
  command
      ->add_option("--think", options->think,
                   "How an RWKV-7 G1 model thinks before it answers, unless a request says so")
      ->capture_default_str();
  command->add_option("--cache-dir", options->engine.cache_dir, "Keep states in this folder, too")
      ->type_name("FOLDER");
  command
      ->add_option(
          "--access-log", options->server.access_log,
          "Write a line for each request to this file, or to standard output (-): when, method, path, "
          "status, bytes, milliseconds, tokens of prompts and answers")
      ->type_name("FILE");
  command->add_option("--http-threads", options->server.threads, "Threads for HTTP")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  AddLimits(*command, *options);
  command->footer(
      "Any client of OpenAI's API works with the base URL http://127.0.0.1:8080/v1.\n"
      "Example: linnet serve model.safetensors --port 8080 --slots 32");
  command->callback([options] { RunServe(*options); });
}

}  // namespace linnet

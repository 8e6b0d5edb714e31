#include "serve/ollama.h"

#include <cctype>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/sha256.h"
#include "serve/openai_json.h"
#include "serve/router.h"

namespace linnet {
namespace {

using Reply = std::shared_ptr<HttpReply>;

constexpr const char* kVersion = "0.9.0";  // of the API; clients ask whether it is new enough

/// What the model takes in memory, and how many numbers it has.
struct ModelSize {
  int64_t bytes = 0, parameters = 0;
};

ModelSize SizeOf(const LoadedModel& model) {
  ModelSize size;
  for (const Parameter& parameter : model.params->parameters()) {
    size.bytes += static_cast<int64_t>(parameter.tensor.bytes());
    size.parameters += parameter.tensor.size();
  }
  return size;
}

/// "2.9B", "191M", "5K"
std::string Rounded(int64_t count) {
  if (count >= 1'000'000'000) return fmt::format("{:.1f}B", 1e-9 * static_cast<double>(count));
  if (count >= 1'000'000) return fmt::format("{}M", (count + 500'000) / 1'000'000);
  return fmt::format("{}K", (count + 500) / 1000);
}

/// The type of most matrices: that of the head.
std::string Quantization(const LoadedModel& model) {
  std::string name(Traits(model.model->head().dtype()).name);
  for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

Json DetailsJson(const LoadedModel& model) {
  const std::string& family = model.architecture->name;
  return {{"parent_model", ""},
          {"format", model.format.empty() ? "safetensors" : model.format},
          {"family", family},
          {"families", {family}},
          {"parameter_size", Rounded(SizeOf(model).parameters)},
          {"quantization_level", Quantization(model)}};
}

/// A name of 64 hexadecimal digits that changes when the model does.
std::string Digest(const Served& served) { return Sha256Hex(served.name + "\n" + served.fingerprint); }

Json ModelJson(const Served& served) {
  const LoadedModel& model = served.engine->model();
  const std::string name = OllamaName(served);
  return {{"name", name},
          {"model", name},
          {"modified_at", Rfc3339(served.created)},
          {"size", SizeOf(model).bytes},
          {"digest", Digest(served)},
          {"details", DetailsJson(model)}};
}

Json Running(const Served& served) {
  Json json = ModelJson(served);
  json.erase("modified_at");
  json["expires_at"] = "9999-12-31T23:59:59Z";  // it stays until the server ends
  json["size_vram"] = 0;
  json["context_length"] = served.max_prompt_tokens;
  return json;
}

Json Shown(const Served& served) {
  const LoadedModel& model = served.engine->model();
  const std::string architecture = model.architecture->name;
  Json about = {{"general.architecture", architecture},
                {"general.parameter_count", SizeOf(model).parameters},
                {"general.basename", served.name},
                {architecture + ".context_length", served.max_prompt_tokens}};
  constexpr std::pair<const char*, const char*> kSizes[] = {
      {"layers", "block_count"}, {"width", "embedding_length"}, {"head_size", "attention.key_length"}};
  for (const auto& [size, name] : kSizes)
    if (model.sizes.contains(size)) about[architecture + "." + name] = model.sizes.at(size);
  about["tokenizer.ggml.model"] = served.tokenizer->name();
  Json capabilities = {"completion", "embedding"};
  if (served.chat->name == "g1") capabilities.push_back("tools");
  if (served.chat->thinks) capabilities.push_back("thinking");
  const ChatTemplate& chat = *served.chat;
  return {
      {"modelfile", fmt::format("FROM {}\n", served.name)},
      {"parameters",
       fmt::format("temperature {}\ntop_p {}", served.chat_sampler.temperature, served.chat_sampler.top_p)},
      {"template",
       fmt::format(
           "{{{{ if .System }}}}{}{{{{ .System }}}}{}{{{{ end }}}}{}{{{{ .Prompt }}}}{} {{{{ .Response }}}}",
           chat.system, chat.end, chat.user, chat.assistant)},
      {"license", ""},
      {"modified_at", Rfc3339(served.created)},
      {"details", DetailsJson(model)},
      {"model_info", std::move(about)},
      {"capabilities", std::move(capabilities)}};
}

void Show(const Served& served, const HttpRequest& request, const Reply& reply) {
  Json body = ParseBody(request.body);
  if (!body.contains("model") && body.contains("name"))
    body["model"] = body["name"];  // as old clients say it
  CheckOllamaModel(Fields(body), served);
  SendJson(*reply, Shown(served));
}

/// Whatever a handler throws becomes an error in Ollama's form.
HttpHandler Caught(HttpHandler handler) {
  return [handler = std::move(handler)](const HttpRequest& request, const Reply& reply) {
    try {
      handler(request, reply);
    } catch (const HttpError& error) {
      SendOllamaError(*reply, error);
    } catch (const QueueFull& full) {
      HttpError error(429, "too many requests wait already; try again later");
      error.headers = {{"Retry-After", std::to_string(full.retry_after_s)}};
      SendOllamaError(*reply, error);
    } catch (const Draining&) {
      SendOllamaError(*reply, StoppingError());
    } catch (const Error& error) {
      SendOllamaError(*reply, HttpError(400, error.what()));
    }
  };
}

}  // namespace

std::string Rfc3339(int64_t seconds) {
  const auto time = static_cast<time_t>(seconds);
  tm parts{};
  gmtime_r(&time, &parts);
  char text[32];
  const size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text, length};
}

std::string OllamaName(const Served& served) {
  return served.name + (served.name.find(':') == std::string::npos ? ":latest" : "");
}

std::string CheckOllamaModel(const Fields& fields, const Served& served) {
  const std::string name = fields.String("model").value_or("");
  if (name.empty()) throw HttpError(400, "model is required", "model");
  if (name != served.name && name != OllamaName(served))
    throw HttpError(404, fmt::format("model '{}' not found; this server has '{}'", name, OllamaName(served)),
                    "model");
  return name;
}

void SendOllamaError(HttpReply& reply, const HttpError& error) {
  reply.Send(error.status, "application/json; charset=utf-8", Dump({{"error", error.what()}}), error.headers);
}

std::vector<HttpRoute> OllamaRoutes(const Served& served) {
  std::vector<HttpRoute> routes;
  const auto add = [&](const char* method, const char* path, HttpHandler handler) {
    routes.push_back({method, path, Caught(std::move(handler))});
  };
  const auto add_fixed = [&](const char* path, auto make) {
    add("GET", path, [make](const HttpRequest&, const Reply& reply) { SendJson(*reply, make()); });
  };
  add_fixed("/api/version", [] { return Json{{"version", kVersion}}; });
  add_fixed("/api/tags", [&served] { return Json{{"models", Json::array({ModelJson(served)})}}; });
  add_fixed("/api/ps", [&served] { return Json{{"models", Json::array({Running(served)})}}; });
  using Answer = void (*)(const Served&, const HttpRequest&, const Reply&);
  constexpr std::pair<const char*, Answer> kAnswers[] = {{"/api/show", Show},
                                                         {"/api/chat", AnswerOllamaChat},
                                                         {"/api/generate", AnswerOllamaGenerate},
                                                         {"/api/embed", AnswerOllamaEmbed},
                                                         {"/api/embeddings", AnswerOllamaEmbed}};
  for (const auto& [path, answer] : kAnswers) {
    add("POST", path, [&served, answer = answer](const HttpRequest& request, const Reply& reply) {
      answer(served, request, reply);
    });
  }
  constexpr std::pair<const char*, const char*> kMissing[] = {
      {"POST", "/api/pull"},     {"POST", "/api/push"},    {"POST", "/api/create"}, {"POST", "/api/copy"},
      {"DELETE", "/api/delete"}, {"POST", "/api/blobs/*"}, {"GET", "/api/blobs/*"}};
  for (const auto& [method, path] : kMissing) {
    add(method, path, [](const HttpRequest& request, const Reply&) {
      throw HttpError(
          501, fmt::format("{} is not supported: this server has the one model that it was started with",
                           request.path));
    });
  }
  return routes;
}

}  // namespace linnet

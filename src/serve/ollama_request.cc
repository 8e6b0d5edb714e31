// What a request to Ollama's API says, in OpenAI's words.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "serve/fields.h"
#include "serve/ollama.h"

namespace linnet {
namespace {

/// Options that are the same under another name, or the same name.
constexpr std::pair<const char*, const char*> kOptions[] = {{"temperature", "temperature"},
                                                            {"top_k", "top_k"},
                                                            {"top_p", "top_p"},
                                                            {"min_p", "min_p"},
                                                            {"typical_p", "typical_p"},
                                                            {"repeat_penalty", "repetition_penalty"},
                                                            {"presence_penalty", "presence_penalty"},
                                                            {"frequency_penalty", "frequency_penalty"},
                                                            {"seed", "seed"},
                                                            {"stop", "stop"},
                                                            {"lora", "lora"},
                                                            {"state", "state"}};

void ReadMirostat(const Fields& options, Json& chat) {
  const auto version = options.Integer("mirostat", 0, 2).value_or(0);
  if (version == 0) return;
  if (version == 1) options.Refuse("mirostat", "can only be 0 or 2 on this server");
  chat["mirostat_tau"] = options.Number("mirostat_tau", 0, 100).value_or(5);
  chat["mirostat_eta"] = options.Number("mirostat_eta", 0, 1).value_or(0.1);
}

/// Penalties here look at the whole answer.
void CheckWindow(const Fields& options, Json& chat) {
  const auto window = options.Integer("repeat_last_n", -1, 1 << 30);
  if (!window || *window == -1) return;
  if (*window == 0) {
    chat["repetition_penalty"] = 1;
  } else if (chat.value("repetition_penalty", 1.0) != 1) {
    options.Refuse("repeat_last_n", "can only be -1 (the whole answer) or 0 beside a repeat_penalty");
  }
}

void ReadOptions(const Json& object, const Served& served, Json& chat) {
  const Fields options(object, "options.");
  for (const auto& [name, meant] : kOptions)
    if (const Json* value = options.Find(name)) chat[meant] = *value;
  if (chat.contains("stop") && chat["stop"].empty()) chat.erase("stop");
  if (const auto most = options.Integer("num_predict", -2, 1LL << 40))
    chat["max_tokens"] = *most < 0 ? served.max_tokens : std::min(*most, served.max_tokens);
  ReadMirostat(options, chat);
  CheckWindow(options, chat);
  if (options.Number("tfs_z", 0, 1e9).value_or(1) != 1)
    options.Refuse("tfs_z", "is not supported by this server");
}

/// `think`: true, false, or how much.
void ReadThinking(const Fields& fields, const Served& served, Json& chat) {
  const Json* think = fields.Find("think");
  if (think == nullptr) return;
  const std::string effort =
      think->is_boolean() ? (think->get<bool>() ? "medium" : "none") : fields.String("think").value_or("");
  if (effort != "none" && effort != "low" && effort != "medium" && effort != "high")
    fields.Refuse("think", "must be true, false, low, medium or high");
  if (effort != "none" && !served.chat->thinks)
    throw HttpError(400, fmt::format("\"{}\" does not support thinking", served.name), "think");
  chat["reasoning_effort"] = effort;
}

}  // namespace

Json OllamaInOpenAiWords(const Json& request, Json messages, const Served& served) {
  const Fields fields(request);
  for (const Json& message : messages) {
    if (message.is_object() && !message.value("images", Json::array()).empty())
      throw HttpError(400, "this model does not see images", "images");
  }
  const Json* keep = fields.Find("keep_alive");
  if (keep != nullptr && !keep->is_number() && !keep->is_string())
    fields.Refuse("keep_alive", "must be a number of seconds or a duration such as 5m");
  Json chat = {{"messages", std::move(messages)}};
  for (const char* same : {"tools", "tool_choice", "format", "grammar", "logprobs", "top_logprobs"})
    if (const Json* value = fields.Find(same)) chat[same] = *value;
  if (const Json* options = fields.Find("options")) ReadOptions(*options, served, chat);
  ReadThinking(fields, served, chat);
  return chat;
}

}  // namespace linnet

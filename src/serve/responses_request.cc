#include "serve/responses_request.h"

#include <algorithm>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string_view>

#include "serve/constraints.h"
#include "serve/openai_json.h"

namespace linnet {
namespace {

constexpr int kMostTopLogprobs = 20;

/// Refuses a field unless it says one of the words.
void RefuseOther(const Fields& fields, const char* name, std::initializer_list<std::string_view> words) {
  const auto said = fields.String(name);
  if (!said || std::ranges::find(words, *said) != words.end()) return;
  std::string list;
  for (const std::string_view word : words) list += (list.empty() ? "" : " or ") + std::string(word);
  fields.Refuse(name, fmt::format("can only be {} on this server", list));
}

void RefuseUnsupported(const Fields& fields) {
  fields.RefuseAll(
      {"conversation", "prompt", "max_tool_calls", "context_management", "prompt_cache_retention"});
  // So chat/completions says what this API has other words for.
  fields.RefuseAll({"n", "logprobs", "response_format", "reasoning_effort"});
  RefuseOther(fields, "service_tier", {"auto", "default"});
  if (const Json* options = fields.Find("stream_options")) {
    const Fields said(*options, "stream_options.");
    if (said.Bool("include_obfuscation").value_or(false))
      said.Refuse("include_obfuscation", "is not supported by this server");
  }
  if (fields.Bool("background").value_or(false))
    fields.Refuse("background", "is not supported by this server");
  if (const Json* tools = fields.Find("tools"); tools != nullptr && !tools->empty())
    fields.Refuse("tools", "are not supported here by this server, only by /v1/chat/completions");
  const Json* choice = fields.Find("tool_choice");
  if (choice != nullptr && *choice != "auto" && *choice != "none")
    fields.Refuse("tool_choice", "can only be auto or none, as there are no tools");
  RefuseOther(fields, "truncation", {"disabled", "auto"});  // which is the same where nothing is too long
}

/// The messages of `input`, after the instructions.
std::vector<ChatMessage> ReadInput(const Fields& fields) {
  std::vector<ChatMessage> messages;
  if (const auto instructions = fields.String("instructions"))
    messages.push_back({ChatMessage::Role::kSystem, *instructions});
  const Json* input = fields.Find("input");
  if (input == nullptr) fields.Refuse("input", "is missing");
  if (input->is_string()) {
    messages.push_back({ChatMessage::Role::kUser, input->get<std::string>()});
    return messages;
  }
  if (!input->is_array()) fields.Refuse("input", "must be a string or a list of items");
  Json items = Json::array();
  for (size_t i = 0; i < input->size(); ++i) {
    const Fields item((*input)[i], fmt::format("input[{}].", i));
    const std::string type = item.String("type").value_or("message");
    if (type == "reasoning") continue;  // clients send back what they got; it is not read again
    if (type != "message")
      item.Refuse("type", fmt::format("is '{}', but this server reads only messages", type));
    items.push_back((*input)[i]);
  }
  for (ChatMessage& message : ReadMessages(items, "input")) messages.push_back(std::move(message));
  return messages;
}

/// The constraint of `text.format`, which says the same as chat/completions' response_format, and of
/// `grammar`.
std::unique_ptr<Constraint> ReadFormat(const Fields& fields, const Json& format, const Tokenizer& tokenizer) {
  Json request = Json::object();
  if (const Json* grammar = fields.Find("grammar")) request["grammar"] = *grammar;
  const std::string type = Fields(format, "text.format.").String("type").value_or("text");
  request["response_format"] = {{"type", type}};
  if (type == "json_schema") {
    Json schema = format;
    schema.erase("type");
    request["response_format"]["json_schema"] = std::move(schema);
  }
  try {
    return ConstraintOf(request, tokenizer);
  } catch (const HttpError& error) {
    // By the name that this API has for it.
    std::string message = error.what(), param = error.param;
    for (std::string* text : {&message, &param}) {
      for (const char* name : {"response_format.json_schema", "response_format"}) {
        const size_t at = text->find(name);
        if (at != std::string::npos) text->replace(at, std::string_view(name).size(), "text.format");
      }
    }
    throw HttpError(error.status, message, param, error.code);
  }
}

void ReadLogprobs(const Fields& fields, Job& job) {
  const auto top = fields.Integer("top_logprobs", 0, kMostTopLogprobs);
  bool wanted = false;
  for (const std::string& included : fields.Strings("include", 16)) {
    if (included == "message.output_text.logprobs")
      wanted = true;
    else if (included != "reasoning.encrypted_content")  // there is none to give
      fields.Refuse("include", fmt::format("has '{}', which this server does not give", included));
  }
  if (top && !wanted) fields.Refuse("top_logprobs", "needs include to have message.output_text.logprobs");
  if (wanted) job.top_logprobs = static_cast<int>(top.value_or(0));
}

/// Where the request goes on from, if it does.
std::optional<StoredState> FindBefore(const Fields& fields, Conversations& conversations,
                                      const std::string& client) {
  const auto previous = fields.String("previous_response_id");
  if (fields.Find("session") != nullptr) {
    if (previous) fields.Refuse("previous_response_id", "cannot be given with a session, which knows it");
    return conversations.FindSession(client, fields);
  }
  if (!previous) return std::nullopt;
  try {
    return conversations.Find(client, *previous);
  } catch (const HttpError& error) {
    if (error.status != 404) throw;
    throw HttpError(400, fmt::format("Previous response with id '{}' not found.", *previous),
                    "previous_response_id", "previous_response_not_found");
  }
}

Json OrNull(const Json* value) { return value == nullptr ? Json() : *value; }

Json Echo(const Fields& fields, const Job& job, const Json& format, const ResponseRequest& request) {
  const Json* reasoning = fields.Find("reasoning");
  const auto effort = reasoning ? Fields(*reasoning, "reasoning.").String("effort") : std::nullopt;
  Json echo = {{"instructions", OrNull(fields.Find("instructions"))},
               {"max_output_tokens", OrNull(fields.Find("max_output_tokens"))},
               {"parallel_tool_calls", fields.Bool("parallel_tool_calls").value_or(true)},
               {"previous_response_id", OrNull(fields.Find("previous_response_id"))},
               {"reasoning", {{"effort", effort ? Json(*effort) : Json()}, {"summary", nullptr}}},
               {"store", request.store},
               {"temperature", job.sampler.temperature},
               {"text", {{"format", format}}},
               {"tool_choice", "auto"},
               {"tools", Json::array()},
               {"top_p", job.sampler.top_p},
               {"truncation", fields.String("truncation").value_or("disabled")},
               {"top_logprobs", std::max(0, job.top_logprobs)},
               {"service_tier", "default"},
               {"metadata", Json::object()}};
  for (const char* name : {"user", "safety_identifier", "prompt_cache_key"})
    echo[name] = OrNull(fields.Find(name));
  if (const Json* metadata = fields.Find("metadata")) echo["metadata"] = *metadata;
  return echo;
}

}  // namespace

ResponseRequest ReadResponseRequest(const Json& body, const Served& served, Conversations& conversations,
                                    const std::string& client) {
  const Fields fields(body);
  CheckModel(fields, served);
  RefuseUnsupported(fields);
  ResponseRequest request;
  Job& job = request.chat.job;
  job.client = client;
  job.sampler = served.chat_sampler;
  job.max_tokens = kAnswerTokens;
  ReadSampling(fields, served, job);
  job.max_tokens = fields.Integer("max_output_tokens", 1, served.max_tokens).value_or(job.max_tokens);
  ReadLogprobs(fields, job);
  Json thinking = Json::object();
  if (const Json* reasoning = fields.Find("reasoning")) {
    const Fields said(*reasoning, "reasoning.");
    thinking["reasoning_effort"] = OrNull(said.Find("effort"));
    RefuseOther(said, "summary", {"auto"});  // there is none; the thought itself comes
    said.RefuseAll({"generate_summary"});
  }
  request.chat.think = &ReadThink(Fields(thinking), served);
  request.chat.stream = fields.Bool("stream").value_or(false);
  request.store = fields.Bool("store").value_or(true);

  Json format = {{"type", "text"}};
  if (const Json* text = fields.Find("text")) {
    const Fields said(*text, "text.");
    if (const Json* wanted = said.Find("format")) format = *wanted;
    RefuseOther(said, "verbosity", {"medium"});
  }
  job.constraint = ReadFormat(fields, format, *served.tokenizer);

  std::vector<ChatMessage> messages = ReadInput(fields);
  const auto before = FindBefore(fields, conversations, client);
  request.turn = conversations.Begin(client, before ? &*before : nullptr, fields, served, job);
  request.turn.stored.id = NewId("resp_");
  request.turn.stored.session = fields.String("session").value_or("");
  Conversations::SetMessages(request.turn, std::move(messages), *request.chat.think, served, job);
  request.chat.goes_on = request.turn.messages.back().role == ChatMessage::Role::kAssistant;
  CheckPromptLength(job.prompt.size(), served, "input");
  job.keep_place = request.store;
  request.echo = Dump(Echo(fields, job, format, request));
  return request;
}

}  // namespace linnet

#include "serve/tools.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "serve/fields.h"
#include "serve/http.h"

namespace linnet {
namespace {

constexpr size_t kMostTools = 128;

std::string Compact(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

/// What the model reads of a tool.
struct Tool {
  std::string name, description;
  Json parameters;  // a schema
};

Tool ReadTool(const Json& tool, const std::string& where) {
  const Fields fields(tool, where + ".");
  if (fields.String("type").value_or("function") != "function") fields.Refuse("type", "must be function");
  const Json* function = fields.Find("function");
  if (function == nullptr) fields.Refuse("function", "is missing");
  const Fields named(*function, where + ".function.");
  const auto name = named.String("name");
  if (!name || name->empty()) named.Refuse("name", "is missing");
  const Json* parameters = named.Find("parameters");
  if (parameters != nullptr && !parameters->is_object()) named.Refuse("parameters", "must be a JSON schema");
  return {*name, named.String("description").value_or(""),
          parameters == nullptr ? Json::object() : *parameters};
}

std::vector<Tool> ReadTools(const Json& request) {
  const Fields fields(request);
  const Json* tools = fields.Find("tools");
  if (tools == nullptr) return {};
  if (!tools->is_array() || tools->size() > kMostTools)
    fields.Refuse("tools", fmt::format("must be a list of at most {} tools", kMostTools));
  std::vector<Tool> read;
  for (size_t i = 0; i < tools->size(); ++i)
    read.push_back(ReadTool((*tools)[i], fmt::format("tools[{}]", i)));
  return read;
}

/// What tool_choice says: none, auto, required, or the name of a tool.
struct ToolChoice {
  enum class Kind { kNone, kAuto, kRequired, kNamed } kind = Kind::kAuto;
  std::string name;
};

ToolChoice ReadChoice(const Fields& fields, const std::vector<Tool>& tools) {
  using Kind = ToolChoice::Kind;
  const Json* choice = fields.Find("tool_choice");
  if (choice == nullptr || *choice == "auto") return {};
  if (*choice == "none") return {Kind::kNone, ""};
  if (tools.empty()) fields.Refuse("tool_choice", "asks for a call, but there are no tools");
  if (*choice == "required") return {Kind::kRequired, ""};
  if (!choice->is_object()) fields.Refuse("tool_choice", "must be none, auto, required or a function");
  const Json* function = Fields(*choice, "tool_choice.").Find("function");
  if (function == nullptr) fields.Refuse("tool_choice", "must be none, auto, required or a function");
  const std::string name = Fields(*function, "tool_choice.function.").String("name").value_or("");
  if (std::ranges::find(tools, name, &Tool::name) == tools.end())
    fields.Refuse("tool_choice", fmt::format("names '{}', which is none of the tools", name));
  return {Kind::kNamed, name};
}

/// One line: its properties are what a call's arguments may be. Which are optional is said if some are.
Json ToolJson(const Tool& tool) {
  Json json = {{"name", tool.name}};
  if (!tool.description.empty()) json["description"] = tool.description;
  const Json properties = tool.parameters.value("properties", Json::object());
  json["arguments"] = properties;
  const Json required = tool.parameters.value("required", Json::array());
  if (required.size() < properties.size()) json["required"] = required;
  return json;
}

std::string ToolsText(const std::vector<Tool>& tools, const ToolChoice& choice) {
  std::string text = "Tools:\n[";
  bool first = true;
  for (const Tool& tool : tools) {
    if (choice.kind == ToolChoice::Kind::kNamed && tool.name != choice.name) continue;
    text += (std::exchange(first, false) ? "\n" : ",\n") + Compact(ToolJson(tool));
  }
  const bool free = choice.kind == ToolChoice::Kind::kAuto;
  return text + "\n]\n" +
         (free ? "If one of the tools helps, return only a JSON function call."
               : "Return only a JSON function call.");
}

/// A call as the model writes it.
std::string CallText(const ToolCall& call) {
  return fmt::format("```json\n{{\"name\":{},\"arguments\":{}{}", Compact(call.name), call.arguments,
                     call.whole ? "}\n```" : "");
}

/// A call of an assistant's message.
ToolCall ReadCall(const Json& call, const std::string& where) {
  const Fields fields(call, where + ".");
  const Json* function = fields.Find("function");
  if (function == nullptr) fields.Refuse("function", "is missing");
  const Fields named(*function, where + ".function.");
  const auto name = named.String("name");
  if (!name) named.Refuse("name", "is missing");
  const Json* given = named.Find("arguments");
  Json arguments = given == nullptr ? Json::object() : *given;
  if (arguments.is_string()) {
    const std::string& text = arguments.get_ref<const std::string&>();
    arguments = text.empty() ? Json::object() : ParseText(text);
  }
  if (!arguments.is_object()) named.Refuse("arguments", "must be the JSON of an object");
  return {*name, Compact(arguments), /*whole=*/true};
}

/// The text of a content that is a string or parts of text.
std::string ContentText(const Json& message) {
  const Json content = message.value("content", Json());
  if (content.is_string()) return content.get<std::string>();
  std::string text;
  if (content.is_array())
    for (const Json& part : content)
      if (part.is_object() && part.value("text", Json()).is_string()) text += part["text"].get<std::string>();
  return text;
}

/// Replaces what has to do with tools in a message, or joins it to the one before.
void AddMessage(const Json& message, const std::string& where, Json& messages, bool& after_result) {
  const Json role = message.is_object() ? message.value("role", Json()) : Json();
  const bool is_result = role == "tool" || role == "function";
  if (is_result) {
    if (after_result) {
      std::string& text = messages.back()["content"].get_ref<std::string&>();
      text += "\n" + ContentText(message);
    } else {
      messages.push_back({{"role", "user"}, {"content", "Function output:\n" + ContentText(message)}});
    }
  } else if (role == "assistant" && message.contains("tool_calls") && message["tool_calls"].is_array()) {
    std::vector<ToolCall> calls;
    for (const Json& call : message["tool_calls"])
      calls.push_back(ReadCall(call, fmt::format("{}.tool_calls[{}]", where, calls.size())));
    messages.push_back({{"role", "assistant"}, {"content", AnswerWithCalls(ContentText(message), calls)}});
  } else {
    messages.push_back(message);
  }
  after_result = is_result;
}

/// References within a schema, which has become a part of another at `place`.
Json Moved(Json schema, const std::string& place) {
  if (schema.is_array()) {
    for (Json& part : schema) part = Moved(std::move(part), place);
  } else if (schema.is_object()) {
    for (auto& [key, value] : schema.items()) {
      if (key == "$ref" && value.is_string() && value.get_ref<const std::string&>().starts_with("#"))
        value = place + value.get<std::string>().substr(1);
      else
        value = Moved(std::move(value), place);
    }
  }
  return schema;
}

}  // namespace

Json WithoutTools(const Json& request, const ChatTemplate& chat) {
  const Fields fields(request);
  if (chat.name != "g1")
    throw HttpError(
        400,
        fmt::format("models of the template '{}' were not taught to use tools; those of g1 were", chat.name),
        fields.Find("tools") != nullptr ? "tools" : "messages");
  const std::vector<Tool> tools = ReadTools(request);
  const ToolChoice choice = ReadChoice(fields, tools);
  const Json& given = request.at("messages");
  if (!given.is_array()) return given;
  Json messages = Json::array();
  const bool offers = !tools.empty() && choice.kind != ToolChoice::Kind::kNone;
  std::string system = offers ? ToolsText(tools, choice) : "";
  size_t i = 0;
  // The system's messages come first, and the tools last among them.
  for (; i < given.size() && given[i].is_object(); ++i) {
    const Json role = given[i].value("role", Json());
    if (role != "system" && role != "developer") break;
    messages.push_back(given[i]);
  }
  if (offers) messages.push_back({{"role", "system"}, {"content", system}});
  bool after_result = false;
  for (; i < given.size(); ++i) AddMessage(given[i], fmt::format("messages[{}]", i), messages, after_result);
  return messages;
}

std::string ForcedCallSchema(const Json& request) {
  const Fields fields(request);
  if (fields.Find("tool_choice") == nullptr) return "";
  const std::vector<Tool> tools = ReadTools(request);
  const ToolChoice choice = ReadChoice(fields, tools);
  if (choice.kind == ToolChoice::Kind::kAuto || choice.kind == ToolChoice::Kind::kNone) return "";
  Json calls = Json::array();
  for (const Tool& tool : tools) {
    if (choice.kind == ToolChoice::Kind::kNamed && tool.name != choice.name) continue;
    const std::string place = fmt::format("#/anyOf/{}/properties/arguments", calls.size());
    Json arguments = Moved(tool.parameters, place);
    if (!arguments.contains("type") && !arguments.contains("$ref")) arguments["type"] = "object";
    calls.push_back({{"type", "object"},
                     {"properties", {{"name", {{"const", tool.name}}}, {"arguments", arguments}}},
                     {"required", {"name", "arguments"}},
                     {"additionalProperties", false}});
  }
  return Compact({{"anyOf", calls}});
}

std::string AnswerWithCalls(std::string text, const std::vector<ToolCall>& calls) {
  for (const ToolCall& call : calls) text += (text.empty() ? "" : "\n") + CallText(call);
  return text;
}

}  // namespace linnet

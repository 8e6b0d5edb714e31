#include "serve/tools.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "serve/http.h"

namespace linnet {
namespace {

const ChatTemplate& G1() { return FindChatTemplate("g1"); }

Json Request(const std::string& messages, const std::string& more = "") {
  return Json::parse(R"({"tools": [
      {"type": "function", "function": {"name": "get_weather", "description": "The weather in a city",
       "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}},
                      "required": ["city"]}}},
      {"type": "function", "function": {"name": "now"}}], "messages": )" +
                     messages + more + "}");
}

/// Role and content of each message, a line each.
std::string Written(const Json& request) {
  std::string text;
  for (const Json& message : WithoutTools(request, G1()))
    text += message["role"].get<std::string>() + ": " + message["content"].get<std::string>() + "|";
  return text;
}

const std::string kTools =
    "Tools:\n[\n"
    R"({"name":"get_weather","description":"The weather in a city","arguments":{"city":{"type":"string"},)"
    R"("unit":{"enum":["C","F"]}},"required":["city"]},)"
    "\n"
    R"({"name":"now","arguments":{}})"
    "\n]\n";

TEST(Tools, AreASystemTextOfTheModels) {
  EXPECT_EQ(
      Written(Request(R"([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}])")),
      "system: Be kind.|system: " + kTools +
          "If one of the tools helps, return only a JSON function call.|user: Hi|");
  EXPECT_EQ(Written(Request(R"([{"role": "user", "content": "Hi"}])", R"(, "tool_choice": "required")")),
            "system: " + kTools + "Return only a JSON function call.|user: Hi|");
  EXPECT_EQ(Written(Request(R"([{"role": "user", "content": "Hi"}])", R"(, "tool_choice": "none")")),
            "user: Hi|");
  EXPECT_EQ(Written(Request(R"([{"role": "user", "content": "Hi"}])",
                            R"(, "tool_choice": {"type": "function", "function": {"name": "now"}})")),
            "system: Tools:\n[\n{\"name\":\"now\",\"arguments\":{}}\n]\nReturn only a JSON function "
            "call.|user: Hi|");
}

TEST(Tools, CallsAndResultsBecomeText) {
  const std::string written = Written(Request(R"([{"role": "user", "content": "Weather?"},
      {"role": "assistant", "content": null, "tool_calls": [{"id": "call_1", "type": "function",
        "function": {"name": "get_weather", "arguments": "{\"city\": \"Paris\"}"}}, {"id": "call_2", "type": "function",
        "function": {"name": "now", "arguments": ""}}]},
      {"role": "tool", "tool_call_id": "call_1", "content": "{\"celsius\":21}"},
      {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "noon"}]},
      {"role": "user", "content": "Thanks"}])",
                                              R"(, "tool_choice": "none")"));
  EXPECT_EQ(written,
            "user: Weather?|assistant: "
            "```json\n{\"name\":\"get_weather\",\"arguments\":{\"city\":\"Paris\"}}\n```\n"
            "```json\n{\"name\":\"now\",\"arguments\":{}}\n```|"
            "user: Function output:\n{\"celsius\":21}\nnoon|user: Thanks|");
}

std::string Refused(const Json& request, const char* chat = "g1") {
  try {
    WithoutTools(request, FindChatTemplate(chat));
  } catch (const HttpError& error) {
    return error.param;
  }
  return "";
}

TEST(Tools, RefusalsNameTheField) {
  EXPECT_EQ(Refused(Request("[]"), "world"), "tools");
  EXPECT_EQ(Refused(Json::parse(R"({"messages": [{"role": "tool", "content": ""}]})"), "world"), "messages");
  const auto with_tool = [](const char* tool) {
    return Json{{"messages", Json::array()}, {"tools", Json::array({Json::parse(tool)})}};
  };
  EXPECT_EQ(Refused(with_tool(R"({"type": "magic"})")), "tools[0].type");
  EXPECT_EQ(Refused(with_tool(R"({"type": "function"})")), "tools[0].function");
  EXPECT_EQ(Refused(with_tool(R"({"type": "function", "function": {}})")), "tools[0].function.name");
  EXPECT_EQ(Refused(with_tool(R"({"type": "function", "function": {"name": "f", "parameters": 1}})")),
            "tools[0].function.parameters");
  EXPECT_EQ(Refused(Json::parse(R"({"messages": [], "tools": {}})")), "tools");
  EXPECT_EQ(Refused(Request(
                R"([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}])")),
            "messages[0].tool_calls[0].function.arguments");
}

TEST(Tools, AnAnswersCallsAreWrittenAsTheModelWroteThem) {
  EXPECT_EQ(
      AnswerWithCalls("", {{"f", "{}", true}, {"g", "{\"a\":[1", false}}),
      "```json\n{\"name\":\"f\",\"arguments\":{}}\n```\n```json\n{\"name\":\"g\",\"arguments\":{\"a\":[1");
  EXPECT_EQ(AnswerWithCalls("Hm.", {}), "Hm.");
}

/// What is parsed is copied and written, which takes stack for each level.
TEST(Tools, ArgumentsThatAreNestedTooDeepAreNone) {
  const std::string deep = "{\"a\":" + std::string(1'000'000, '[') + std::string(1'000'000, ']') + "}";
  const Json call = {{"function", {{"name", "now"}, {"arguments", deep}}}};
  Json request = Request(R"([{"role": "user", "content": "Hi"}])");
  request["messages"].push_back({{"role", "assistant"}, {"tool_calls", {call}}});
  try {
    WithoutTools(request, G1());
    FAIL() << "they were read";
  } catch (const HttpError& error) {
    EXPECT_EQ(error.param, "messages[1].tool_calls[0].function.arguments");
  }
}

}  // namespace
}  // namespace linnet

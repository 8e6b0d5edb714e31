#include "serve/constraints.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "serve/http.h"
#include "text/world.h"

namespace linnet {
namespace {

/// All bytes; 0 ends a text.
const WorldTokenizer& Bytes() {
  static const WorldTokenizer tokenizer = [] {
    std::vector<std::string> tokens{""};
    for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
    return WorldTokenizer("bytes+1", std::move(tokens));
  }();
  return tokenizer;
}

/// Whether a whole answer fits what a request asks for.
bool Fits(const char* request, const std::string& answer, std::string_view begun = "") {
  const auto constraint = ConstraintOf(Json::parse(request), Bytes(), begun);
  try {
    for (const char c : answer) constraint->Accept(1 + static_cast<unsigned char>(c));
    constraint->Accept(Tokenizer::kEndOfText);
    return true;
  } catch (const Error&) {
    return false;
  }
}

/// The field that a refusal names; "" if a request is not refused.
std::string Refused(const char* request) {
  try {
    ConstraintOf(Json::parse(request), Bytes());
  } catch (const HttpError& error) {
    EXPECT_EQ(error.status, 400);
    return error.param;
  }
  return "";
}

TEST(Constraints, TextIsFree) {
  for (const char* request :
       {"{}", R"({"response_format": {"type": "text"}})", R"({"format": ""})", R"({"format": null})",
        R"({"tools": [], "tool_choice": "none"})",
        R"({"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto"})"})
    EXPECT_EQ(ConstraintOf(Json::parse(request), Bytes()), nullptr) << request;
}

TEST(Constraints, JsonObjects) {
  for (const char* request : {R"({"response_format": {"type": "json_object"}})", R"({"format": "json"})"}) {
    EXPECT_TRUE(Fits(request, R"({"a": [1]})"));
    EXPECT_FALSE(Fits(request, "[1]"));
    EXPECT_FALSE(Fits(request, R"( {"a": 1})"));
  }
  EXPECT_TRUE(Fits(R"({"messages": [], "format": "json"})", R"( {"a": 1})"));
}

TEST(Constraints, Schemas) {
  for (const char* request :
       {R"({"format": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}})",
        R"({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "strict": true, "schema":
            {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}}}})"}) {
    EXPECT_TRUE(Fits(request, R"({"n": 12})"));
    EXPECT_FALSE(Fits(request, R"({"n": "12"})"));
    EXPECT_FALSE(Fits(request, R"({})"));
  }
}

TEST(Constraints, Grammars) {
  EXPECT_TRUE(Fits(R"({"grammar": "root ::= \"yes\" | \"no\""})", "no"));
  EXPECT_FALSE(Fits(R"({"grammar": "root ::= \"yes\" | \"no\""})", "maybe"));
}

TEST(Constraints, AnAnswerMayComeAfterAThought) {
  const char* request = R"({"messages": [], "grammar": "root ::= \"yes\" | \"no\""})";
  EXPECT_TRUE(Fits(request, ">Hm.</think>\nyes", " <think"));
  EXPECT_TRUE(Fits(request, "> a <b> </thin </</think>no", " <think"));
  EXPECT_FALSE(Fits(request, ">Hm.</think>maybe", " <think"));
  EXPECT_FALSE(Fits(request, ">Hm. yes", " <think"));
  EXPECT_TRUE(Fits(request, ">\nyes", " <think>\n</think"));
  EXPECT_FALSE(Fits(request, ">Hm</think>yes", " <think>\n</think"));
}

TEST(Constraints, CallsThatAreDemanded) {
  const std::string tools = R"({"messages": [], "tools": [
      {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties":
        {"a": {"$ref": "#/$defs/n"}, "b": {"$ref": "#/$defs/n"}}, "required": ["a", "b"],
        "$defs": {"n": {"type": "integer"}}}}},
      {"type": "function", "function": {"name": "now"}}], "tool_choice": )";
  const std::string any = tools + "\"required\"}";
  const std::string add = tools + R"({"type": "function", "function": {"name": "add"}}})";
  const std::string call = " ```json\n{\"name\": \"add\", \"arguments\": {\"a\": 1, \"b\": 22}}\n```";
  const std::string other = "```json\n{\"name\":\"now\",\"arguments\":{}}\n```";
  EXPECT_TRUE(Fits(any.c_str(), call));
  EXPECT_TRUE(Fits(any.c_str(), other));
  EXPECT_TRUE(Fits(add.c_str(), call));
  EXPECT_FALSE(Fits(add.c_str(), other));
  EXPECT_FALSE(Fits(any.c_str(), "Hello"));
  EXPECT_FALSE(Fits(any.c_str(), "```json\n{\"name\":\"add\",\"arguments\":{\"a\":1}}\n```"));
}

TEST(Constraints, RefusalsNameTheField) {
  EXPECT_EQ(Refused(R"({"response_format": 1})"), "response_format");
  EXPECT_EQ(Refused(R"({"response_format": {"type": "xml"}})"), "response_format.type");
  EXPECT_EQ(Refused(R"({"response_format": {"type": "json_schema"}})"), "response_format.json_schema");
  EXPECT_EQ(Refused(R"({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}})"),
            "response_format.json_schema.schema");
  EXPECT_EQ(
      Refused(R"({"response_format": {"type": "json_schema", "json_schema": {"schema": {"not": {}}}}})"),
      "response_format.json_schema.schema");
  EXPECT_EQ(Refused(R"({"grammar": "root ::= root"})"), "grammar");
  EXPECT_EQ(Refused(R"({"grammar": 1})"), "grammar");
  EXPECT_EQ(Refused(R"({"format": "xml"})"), "format");
  EXPECT_EQ(Refused(R"({"format": {"type": "x"}})"), "format");
  EXPECT_EQ(Refused(R"({"format": "json", "grammar": "root ::= \"a\""})"), "grammar");
  EXPECT_EQ(Refused(R"({"tool_choice": "required"})"), "tool_choice");
  EXPECT_EQ(Refused(R"({"tool_choice": "required", "tools": [{"type": "function", "function":
      {"name": "f", "parameters": {"not": {}}}}]})"),
            "tools");
  EXPECT_EQ(Refused(R"({"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice":
      {"type": "function", "function": {"name": "g"}}})"),
            "tool_choice");
}

TEST(Constraints, TheSameFormMayBeUsedByMany) {
  const Json request = Json::parse(R"({"grammar": "root ::= [a-z]{1,3}"})");
  const auto one = ConstraintOf(request, Bytes()), other = ConstraintOf(request, Bytes());
  one->Accept(1 + 'a');
  std::vector<float> logits(257);
  other->Mask(logits);
  EXPECT_EQ(logits[0], -std::numeric_limits<float>::infinity());
  for (int i = 0; i < 100; ++i) {
    const Json another = {{"grammar", "root ::= \"" + std::to_string(i) + "\""}};
    ConstraintOf(another, Bytes())->Accept(1 + std::to_string(i)[0]);
  }
  one->Accept(1 + 'b');
}

}  // namespace
}  // namespace linnet

#include "infer/json_schema.h"

#include <gtest/gtest.h>

#include "base/check.h"
#include "base/random.h"
#include "infer/grammar_constraint.h"
#include "infer/grammar_places.h"
#include "infer/json_grammar.h"
#include "infer/json_validator.h"
#include "infer/vocabularies.h"

namespace linnet {
namespace {

using Json = nlohmann::ordered_json;

bool Fits(const Grammar& grammar, const std::string& text) {
  GrammarPlaces places(grammar);
  GrammarPlaces::Place place = places.Begin();
  for (const char c : text) place = places.Next(place, static_cast<uint8_t>(c));
  return places.CanEnd(place);
}

bool Fits(const std::string& schema, const std::string& text) {
  return Fits(Grammar(JsonSchemaGrammar(schema)), text);
}

std::string Refusal(const std::string& schema) {
  try {
    const Grammar grammar(JsonSchemaGrammar(schema));
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

const WorldTokenizer& Vocabulary() {
  static const WorldTokenizer words =
      Words({"{\"",  "\": ", "\",\"", "\"}",      "\"}]",      "tru",        "true", "12", "3.",
             ", \"", "ab",   "é",     "\xC3",     "中文",      "]}",         "]]]",  "[[", "\"\"",
             "}\"",  "\\\"", "\\u",   "   ",      "a\"",       "a\":1",      "0,0",  "-1", "99",
             "0.5",  "e1",   "name",  "\"name\"", "\",\"a\":", "d83d\\ude00"});
  return words;
}

/// A text of random tokens that fits, with a liking for what ends something.
std::string Random(GrammarMatcher& matcher, uint64_t seed, size_t longest) {
  const WorldTokenizer& tokenizer = Vocabulary();
  linnet::Random random(seed);
  const auto constraint = matcher.NewText();
  std::string text;
  for (size_t i = 0; !constraint->ended(); ++i) {
    std::vector<float> logits(static_cast<size_t>(tokenizer.vocab()));
    constraint->Mask(logits);
    if (logits[0] == 0 && random.Below(2) == 0) break;
    std::vector<int> all, closing;
    for (int token = 1; token < tokenizer.vocab(); ++token) {
      if (logits[static_cast<size_t>(token)] != 0) continue;
      all.push_back(token);
      const char first = tokenizer.Decode({&token, 1})[0];
      if (first == '"' || first == '}' || first == ']' || first == 'n') closing.push_back(token);
    }
    if (all.empty()) break;
    const bool closes = !closing.empty() && (i > longest || random.Below(3) == 0);
    const std::vector<int>& from = closes ? closing : all;
    const int token = from[random.Below(from.size())];
    constraint->Accept(token);
    text += tokenizer.Decode({&token, 1});
    if (i > 20 * longest) return "";  // lost in nesting
  }
  return text;
}

const char* const kSchemas[] = {
    R"(true)",
    R"({"type": "object"})",
    R"({"type": ["string", "null", "integer"]})",
    R"({"enum": ["a", 1, null, {"x": [1, 2.5]}, "é\n\""]})",
    R"({"type": "integer", "enum": [1, 2, "three"]})",
    R"({"const": {"a": "b"}})",
    R"({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}, "c": true},
        "required": ["b"], "additionalProperties": false})",
    R"({"type": "object", "properties": {"a": {"type": "boolean"}, "b": {"type": "null"}, "c": {"const": 1}}})",
    R"({"type": "object", "properties": {"name": {"type": "integer"}, "né": {"type": "integer"}, "": {"type": "null"}},
        "additionalProperties": {"type": "string"}, "required": ["name", "other"]})",
    R"({"type": "object", "additionalProperties": {"type": "integer"}})",
    R"({"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 4})",
    R"({"type": "array", "items": {"type": "boolean"}, "minItems": 1})",
    R"({"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}, {"type": "null"}], "minItems": 1,
        "items": {"type": "boolean"}, "maxItems": 5})",
    R"({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "items": false})",
    R"({"type": "array", "maxItems": 0})",
    R"({"type": "string", "minLength": 2, "maxLength": 5})",
    R"({"type": "string", "pattern": "^[a-f]{2}(-\\d+)?$"})",
    R"({"type": "string", "pattern": "^x\"[^\\w]?"})",
    R"({"type": "string", "pattern": "^a$|^(?:bc)+|^\\\\$"})",
    R"({"type": "string", "format": "date"})",
    R"({"type": "string", "format": "time"})",
    R"({"type": "string", "format": "date-time"})",
    R"({"type": "string", "format": "uuid"})",
    R"({"type": "string", "format": "ipv4"})",
    R"({"type": "string", "format": "email"})",
    R"({"type": "integer", "minimum": 3, "maximum": 1234})",
    R"({"type": "integer", "exclusiveMinimum": -17, "exclusiveMaximum": 5})",
    R"({"type": "integer", "maximum": -8})",
    R"({"type": "integer", "minimum": 98.5})",
    R"({"type": "number", "minimum": -2.5, "exclusiveMaximum": 10})",
    R"({"type": "number", "exclusiveMinimum": 0})",
    R"({"type": "number", "exclusiveMinimum": -3, "maximum": 0})",
    R"({"type": "number", "minimum": 0, "maximum": 1})",
    R"({"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 3}]})",
    R"({"oneOf": [{"type": "object", "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}},
                   "required": ["kind"]},
                  {"type": "object", "properties": {"kind": {"const": "dog"}, "name": {"type": "string"}},
                   "required": ["kind", "name"]}, {"type": "null"}]})",
    R"({"allOf": [{"$ref": "#/$defs/named"}, {"type": "object", "properties": {"age": {"type": "integer"}},
                   "required": ["age"]}],
        "$defs": {"named": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}}})",
    R"({"type": "object", "properties": {"v": {"type": "integer"}}, "required": ["v"],
        "anyOf": [{"properties": {"a": {"type": "null"}}, "required": ["a"]}, {"properties": {"v": {"minimum": 10}}}]})",
    R"({"$ref": "#/definitions/list", "definitions": {"list": {"type": "object", "properties":
        {"value": {"type": "integer"}, "next": {"anyOf": [{"type": "null"}, {"$ref": "#/definitions/list"}]}},
        "required": ["value", "next"], "additionalProperties": false}}})",
    R"({"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}})",
    R"({"title": "t", "description": "d", "default": 1, "examples": [1], "type": "integer", "x-note": 1})",
};

TEST(JsonSchema, WhatFitsTheGrammarFitsTheSchema) {
  const auto tree = std::make_shared<VocabularyTree>(Vocabulary());
  for (const char* schema : kSchemas) {
    const Json parsed = Json::parse(schema);
    const JsonValidator validator(parsed);
    const auto matcher = GrammarMatcher::Make(Grammar(JsonSchemaGrammar(schema)), tree);
    int written = 0;
    for (uint64_t seed = 0; seed < 150; ++seed) {
      const std::string text = Random(*matcher, seed, 20 + seed % 40);
      if (text.empty()) continue;
      ++written;
      const Json value = Json::parse(text, nullptr, false);
      ASSERT_FALSE(value.is_discarded()) << schema << "\n" << text;
      ASSERT_TRUE(validator.Fits(value)) << schema << "\n" << text;
    }
    EXPECT_GT(written, 100) << schema;
  }
}

TEST(JsonSchema, WhatModelsWriteFits) {
  const std::string person = kSchemas[6];
  for (const char* text :
       {R"({"b":"x"})", R"({ "a": 1, "b": "" })", R"({"a":-5,"b":"\u00e9\ud83d\ude00","c":[{}]})",
        "{\n  \"b\": \"x\",\n  \"c\": null\n}"})
    EXPECT_TRUE(Fits(person, text)) << text;
  for (const char* text : {R"({})", R"({"a":1})", R"({"b":1})", R"({"b":"x",})", R"({"b":"x","d":1})",
                           R"({"b":"\x"})", R"({"b":"\ud83d"})", R"({"b":"x"} )", R"({"a":01,"b":"x"})"})
    EXPECT_FALSE(Fits(person, text)) << text;
  EXPECT_TRUE(Fits(kSchemas[8], R"({"name":1,"other":"x","names":"y","n":"z"})"));
  EXPECT_FALSE(Fits(kSchemas[8], R"({"name":1,"other":"x","n\u0061me":"y"})"));
  EXPECT_TRUE(Fits(kSchemas[12], R"(["a"])"));
  EXPECT_TRUE(Fits(kSchemas[12], R"(["a", 1, null, true, false])"));
  EXPECT_FALSE(Fits(kSchemas[12], R"(["a", 1, null, true, false, true])"));
  EXPECT_TRUE(Fits(R"({"type": "array"})", R"([1, "a", {"b": [null]}])"));
}

TEST(JsonSchema, PatternsMayBeginAndEndAnywhere) {
  const std::string schema = R"({"type": "string", "pattern": "x\"[^\\w]+$|b{2}"})";
  for (const char* text : {R"("x\"-")", R"("ax\"--")", R"("abba")", R"("\n\u0041bb\"")"})
    EXPECT_TRUE(Fits(schema, text)) << text;
  for (const char* text : {R"("x\"")", R"("x\"-a")", R"("aba")", R"("")"})
    EXPECT_FALSE(Fits(schema, text)) << text;
}

TEST(JsonSchema, RangesOfWholeNumbersAreExact) {
  for (const auto& [least, most] :
       {std::pair{0, 0}, {3, 17}, {-12, 31}, {-105, -98}, {95, 1203}, {-1, 1000}, {7, 7}}) {
    const Grammar grammar("root ::= " + IntegerRange(least, most));
    for (int i = -1300; i <= 1300; ++i)
      ASSERT_EQ(Fits(grammar, std::to_string(i)), i >= least && i <= most)
          << i << " of " << least << ", " << most;
    EXPECT_FALSE(Fits(grammar, "-0"));
    EXPECT_FALSE(Fits(grammar, "007"));
  }
}

TEST(JsonSchema, ObjectsAndAnyValues) {
  const Grammar object(JsonObjectGrammar()), any(JsonGrammar());
  EXPECT_TRUE(Fits(object, R"({"a": [1, -2.5e-3, true, {"b": null, "c": ""}], "é": "\\\n\u0041"})"));
  EXPECT_FALSE(Fits(object, "[]"));
  for (const char* value : {"[]", "1", "\"x\"", "null", "{}", "[[],{\"a\":[]}]"})
    EXPECT_TRUE(Fits(any, value)) << value;
  for (const char* value : {"", "[1,]", "{a:1}", "'x'", "01", "1.", "nul", "[1 2]", "\"\n\""})
    EXPECT_FALSE(Fits(any, value)) << value;
}

TEST(JsonSchema, RefusesByNameWhatItDoesNotKnow) {
  for (const auto& [schema, words] : std::initializer_list<std::pair<const char*, const char*>>{
           {R"({"not": {}})", "schema/not: this keyword is not supported"},
           {R"({"type": "object", "properties": {"a": {"type": "array", "contains": {}}}})",
            "schema/properties/a/contains"},
           {R"({"patternProperties": {}})", "patternProperties"},
           {R"({"if": {}})", "schema/if"},
           {R"({"type": "array", "uniqueItems": true})", "uniqueItems"},
           {R"({"type": "number", "multipleOf": 0.1})", "multipleOf"},
           {R"({"type": "string", "format": "idn-email"})", "idn-email"},
           {R"g({"type": "string", "pattern": "(?=a)"})g", "looks ahead"},
           {R"({"type": "string", "pattern": "(a"})", "a ) is missing"},
           {R"({"type": "string", "pattern": "a\\b"})", "\\b is not supported"},
           {R"({"type": "string", "pattern": "a", "minLength": 1})", "not supported together"},
           {R"({"type": "thing"})", "there is no type \"thing\""},
           {R"({"type": []})", "type: is empty"},
           {R"({"enum": []})", "at least one value"},
           {R"({"const": 1, "minimum": 3})", "not supported beside"},
           {R"({"$ref": "other.json"})", "must refer to a place in the schema"},
           {R"({"$ref": "#/$defs/x"})", "the schema has no #/$defs/x"},
           {R"({"$ref": "#"})", "never ends"},
           {R"({"allOf": [{"$ref": "#"}, {"type": "null"}]})", "refers to itself"},
           {R"({"allOf": [{"type": "string"}, {"type": "integer"}]})", "nothing has the types"},
           {R"({"oneOf": [{"type": "integer"}, {"type": "number"}]})", "oneOf: a value could fit two"},
           {R"({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]})", "never ends"},
           {R"({"type": "integer", "minimum": 5, "maximum": 4})", "lies between"},
           {R"({"type": "string", "minLength": 5, "maxLength": 4})", "above"},
           {R"({"type": "string", "minLength": -1})", "minLength: must be a whole number"},
           {R"({"type": "object", "required": ["a"], "additionalProperties": false})", "allows none"},
           {R"({"properties": [1]})", "properties: must be an object"},
           {R"({"required": [1]})", "list of names"},
           {R"("string")", "must be an object, true or false"},
           {R"(false)", "nothing fits"},
           {R"({"type":)", "is no JSON"},
       }) {
    const std::string refusal = Refusal(schema);
    EXPECT_NE(refusal.find(words), std::string::npos) << schema << "\nsays: " << refusal;
  }
}

}  // namespace
}  // namespace linnet

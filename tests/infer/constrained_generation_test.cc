// Texts of a model that knows nothing, kept to schemas: alone and among others.
#include <gtest/gtest.h>

#include "infer/generator.h"
#include "infer/grammar_constraint.h"
#include "infer/json_schema.h"
#include "infer/json_validator.h"
#include "infer/scheduler.h"
#include "infer/tiny_model.h"

namespace linnet {
namespace {

using Json = nlohmann::ordered_json;

const char* const kSchemas[] = {
    R"({"type": "object", "properties": {"name": {"type": "string", "maxLength": 8}, "n": {"type": "integer"},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3}}, "required": ["name", "tags"]})",
    R"({"type": "array", "items": {"type": "number", "minimum": -2, "maximum": 7.5}, "minItems": 2, "maxItems": 4})",
    R"({"anyOf": [{"type": "string", "pattern": "^[a-z]{3}\\d$"}, {"type": "null"}, {"type": "boolean"}]})"};

class ConstrainedGeneration : public testing::Test {
 protected:
  std::unique_ptr<Constraint> Constrain(const std::string& schema) {
    return GrammarMatcher::Make(Grammar(JsonSchemaGrammar(schema)), tree_)->NewText();
  }
  GenerateOptions Options(const Constraint& constraint, uint64_t seed, std::string& text) {
    GenerateOptions options;
    options.max_tokens = 400;
    options.seed = seed;
    options.constraint = &constraint;
    options.on_text = [&text](std::string_view piece) { text += piece; };
    return options;
  }
  static void ExpectFits(const std::string& schema, const std::string& text) {
    const Json parsed = Json::parse(schema), value = Json::parse(text, nullptr, false);
    ASSERT_FALSE(value.is_discarded()) << text;
    EXPECT_TRUE(JsonValidator(parsed).Fits(value)) << text;
  }

  LoadedModel model_ = TinyModel();
  BytesTokenizer tokenizer_;
  std::shared_ptr<const VocabularyTree> tree_ = std::make_shared<VocabularyTree>(tokenizer_);
};

TEST_F(ConstrainedGeneration, FitsTheSchemaAndEnds) {
  for (const char* schema : kSchemas) {
    const auto constraint = Constrain(schema);
    for (uint64_t seed = 0; seed < 20; ++seed) {
      std::string text;
      const Generation result =
          Generate(model_, tokenizer_, tokenizer_.Encode("x"), Options(*constraint, seed, text));
      ASSERT_EQ(result.end, Generation::End::kEndOfText) << text;
      ExpectFits(schema, text);
    }
  }
}

TEST_F(ConstrainedGeneration, IsTheSameAmongOthers) {
  const auto constraint = Constrain(kSchemas[0]);
  std::vector<std::string> alone(6), together(6);
  Scheduler scheduler(model_, tokenizer_, {.slots = 3});
  for (size_t i = 0; i < alone.size(); ++i) {
    Generate(model_, tokenizer_, tokenizer_.Encode("x"), Options(*constraint, i, alone[i]));
    scheduler.Add(tokenizer_.Encode("x"), Options(*constraint, i, together[i]), [](const FinishedText&) {});
  }
  while (scheduler.Step()) {
  }
  EXPECT_EQ(together, alone);
}

}  // namespace
}  // namespace linnet

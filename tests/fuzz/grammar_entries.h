// What the fuzzers of grammars and JSON schemas do with an input; shared with the test that runs the corpus
// without a fuzzer.
#pragma once

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/hash.h"
#include "infer/grammar_constraint.h"
#include "infer/json_schema.h"

namespace linnet {

/// A text of at most `most` tokens that fits, whose choices hang on `seed`; nothing unless it came to an end.
inline std::string WriteFitting(GrammarMatcher& matcher, const Tokenizer& tokenizer, uint64_t seed, int most,
                                bool& ended) {
  const auto text = matcher.NewText();
  std::string bytes;
  ended = false;
  for (int i = 0; i < most; ++i) {
    std::vector<float> logits(static_cast<size_t>(tokenizer.vocab()));
    text->Mask(logits);
    std::vector<int> allowed;
    for (int token = 0; token < tokenizer.vocab(); ++token)
      if (logits[static_cast<size_t>(token)] == 0) allowed.push_back(token);
    if (allowed.empty()) std::abort();
    // The other way round it need not be: a vocabulary may lack what a grammar would go on with.
    if (text->ended() && allowed != std::vector<int>{0}) std::abort();
    seed = Hash("next", seed);
    const int token = allowed[(seed >> 20) % allowed.size()];
    text->Clone()->Accept(token);  // must not throw: it was allowed
    text->Accept(token);
    if (token == 0) {
      ended = true;
      return bytes;
    }
    bytes += tokenizer.Decode({&token, 1});
  }
  return bytes;
}

inline std::shared_ptr<const VocabularyTree> BytesTree() {
  static const auto tree = std::make_shared<VocabularyTree>(BytesTokenizer());
  return tree;
}

/// What a grammar allows can be written, and it ends where it says.
inline void FuzzGrammar(std::string_view input) {
  try {
    const auto matcher = GrammarMatcher::Make(Grammar(input), BytesTree());
    bool ended = false;
    WriteFitting(*matcher, BytesTokenizer(), Hash(input), 60, ended);
  } catch (const Error&) {  // the one exception that a bad grammar may cause
  }
}

/// What ends under a schema is JSON.
inline void FuzzJsonSchema(std::string_view input) {
  try {
    const auto matcher = GrammarMatcher::Make(Grammar(JsonSchemaGrammar(input)), BytesTree());
    for (uint64_t seed = 0; seed < 3; ++seed) {
      bool ended = false;
      const std::string text = WriteFitting(*matcher, BytesTokenizer(), seed, 100, ended);
      if (ended && !nlohmann::json::accept(text)) std::abort();
    }
  } catch (const Error&) {
  }
}

}  // namespace linnet

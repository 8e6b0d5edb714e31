// What a request says its answer must look like (infer/grammar_constraint.h):
//
//   "response_format"  {"type": "text"}, {"type": "json_object"},
//                      {"type": "json_schema", "json_schema": {"name", "schema", "strict"}}     OpenAI
//   "tool_choice"      "required" or {"type": "function", "function": {"name"}}: a call         OpenAI
//   "format"           "json" or a schema                                                       Ollama
//   "grammar"          "root ::= ..."                                                 docs/grammar.md
#pragma once

#include <memory>
#include <string_view>

#include "infer/constraint.h"
#include "serve/json.h"
#include "text/tokenizer.h"

namespace linnet {

/// Null if the text is free. `begun` is what stands before the answer of a thought
/// (ThinkForm::before_answer): the form then holds for what comes after it. An answer in a conversation may
/// begin with a blank. Compiled forms are kept by their text, those used last. `tokenizer` must live as long
/// as the program serves it. Throws HttpError 400, naming the field, for what cannot be kept.
std::unique_ptr<Constraint> ConstraintOf(const Json& request, const Tokenizer& tokenizer,
                                         std::string_view begun = "");

}  // namespace linnet

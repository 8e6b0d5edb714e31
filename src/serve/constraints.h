// What a request says its answer must look like: `response_format` (json_object, json_schema), `grammar`, and
// `tool_choice`.
#pragma once

#include <memory>

#include "infer/constraint.h"
#include "serve/json.h"
#include "text/tokenizer.h"

namespace linnet {

/// Null if the text is free. `tokenizer` must outlive the constraint. Throws HttpError 400, naming the field,
/// for what cannot be kept.
std::unique_ptr<Constraint> ConstraintOf(const Json& request, const Tokenizer& tokenizer);

}  // namespace linnet

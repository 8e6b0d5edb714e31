// `prompt` of completions and `input` of embeddings: one text or several, each a string or tokens.
#pragma once

#include <vector>

#include "serve/chat_request.h"
#include "serve/fields.h"

namespace linnet {

/// Tokens of each: of a string, a list of strings, a list of tokens, or a list of such lists. Throws
/// HttpError 400, naming the field.
std::vector<std::vector<int>> ReadPrompts(const Fields& fields, const char* name, const Served& served);

}  // namespace linnet

// The tokenizer for clients, as lm-evaluation-harness asks for it:
//
//   GET  /tokenizer_info  {"eos_token", "bos_token", "pad_token", "chat_template"}
//   POST /tokenize        {"prompt", "add_special_tokens"} -> {"tokens", "count"}
//   POST /detokenize      {"tokens"} -> {"prompt"}
#pragma once

#include <vector>

#include "serve/chat_request.h"
#include "serve/http.h"

namespace linnet {

/// Each with and without "/v1". `served` must outlive the routes.
std::vector<HttpRoute> TokenizerRoutes(const Served& served);

/// How conversations are written, as a Jinja template over `messages` and `add_generation_prompt`.
std::string JinjaTemplate(const ChatTemplate& chat);

}  // namespace linnet

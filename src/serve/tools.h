// Tools: how a model that was taught to use them reads what there is, writes a call, and reads what came of
// it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "serve/json.h"
#include "text/chat.h"

namespace linnet {

struct ToolCall {
  std::string name;
  std::string arguments;  // JSON
};

/// The messages of a request in which `tools`, calls and results have become text: roles are system (or
/// developer), user and assistant, and contents are strings or lists of parts. Throws HttpError 400, naming
/// the field, if models of this template know no tools, or something is wrong with them.
Json WithoutTools(const Json& request, const ChatTemplate& chat);

/// Splits an answer, as it comes, into text and calls.
class ToolStream {
 public:
  struct Pieces {
    std::string text;
    std::vector<ToolCall> calls;
  };
  /// The next bytes, and what is now certain.
  Pieces Push(std::string_view bytes);
  /// The answer ends: what was held back.
  Pieces Finish();

 private:
  std::string held_;
};

}  // namespace linnet

// Tools: how a model that was taught to use them reads what there is, writes a call, and reads what came of
// it. The text forms are those of the RWKV-7 G1 models (the list of templates that comes with them):
//
//   System: Tools:
//   [
//   {"name":"get_weather","description":"...","arguments":{"city":{"type":"string"}}}
//   ]
//   Return only a JSON function call.
//
//   User: How is the weather in Paris?
//
//   Assistant: ```json
//   {"name":"get_weather","arguments":{"city":"Paris"}}
//   ```
//
//   User: Function output:
//   {"celsius":21}
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

/// A JSON schema of the call that `tool_choice` demands; "" if it demands none. Throws HttpError 400.
std::string ForcedCallSchema(const Json& request);

/// Splits an answer, as it comes, into text and calls. A call is the object above between ```json and ```, a
/// list of such objects there, or an object alone that is the whole answer; what only looks like one is text.
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
  enum class Part { kStart, kText, kBlock, kBare };

  /// Takes from what is held what is certain; false if more has to come.
  bool Step(Pieces& out);
  bool StepText(Pieces& out);
  bool StepBlock(Pieces& out);

  Part part_ = Part::kStart;
  std::string held_;
};

}  // namespace linnet

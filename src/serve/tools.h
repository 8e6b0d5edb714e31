// Tools: how a model that was taught to use them reads what there is, writes a call, and reads what came of
// it (serve/tool_stream.h finds calls in answers). The text forms are those of the RWKV-7 G1 models (the list
// of templates that comes with them):
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
#include <vector>

#include "serve/json.h"
#include "serve/tool_stream.h"
#include "text/chat.h"

namespace linnet {

/// The messages of a request in which `tools`, calls and results have become text: roles are system (or
/// developer), user and assistant, and contents are strings or lists of parts. Throws HttpError 400, naming
/// the field, if models of this template know no tools, or something is wrong with them.
Json WithoutTools(const Json& request, const ChatTemplate& chat);

/// A JSON schema of the call that `tool_choice` demands; "" if it demands none. Throws HttpError 400.
std::string ForcedCallSchema(const Json& request);

/// An answer as the model writes it: its text, then its calls.
std::string AnswerWithCalls(std::string text, const std::vector<ToolCall>& calls);

}  // namespace linnet

#include "serve/tools.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "serve/fields.h"
#include "serve/http.h"

namespace linnet {

Json WithoutTools(const Json& request, const ChatTemplate& /*chat*/) {
  const Fields fields(request);
  fields.RefuseAll({"tools"});
  throw HttpError(400, "messages with tool calls or of the role 'tool' are not supported by this server",
                  "messages");
}

ToolStream::Pieces ToolStream::Push(std::string_view bytes) { return {std::string(bytes), {}}; }

ToolStream::Pieces ToolStream::Finish() { return {std::exchange(held_, {}), {}}; }

}  // namespace linnet

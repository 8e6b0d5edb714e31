#include "serve/constraints.h"

#include <nlohmann/json.hpp>

#include "serve/fields.h"

namespace linnet {

std::unique_ptr<Constraint> ConstraintOf(const Json& request, const Tokenizer& /*tokenizer*/) {
  const Fields fields(request);
  fields.RefuseAll({"grammar"});
  const Json* format = fields.Find("response_format");
  if (format == nullptr) return nullptr;
  const auto type = Fields(*format, "response_format.").String("type");
  if (type != "text") fields.Refuse("response_format", "can only be of the type text on this server");
  return nullptr;
}

}  // namespace linnet

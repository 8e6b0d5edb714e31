#include "serve/http.h"

#include <nlohmann/json.hpp>

#include "serve/json.h"

namespace linnet {
namespace {

/// What OpenAI calls the kinds of errors.
const char* ErrorType(int status) {
  if (status == 401) return "authentication_error";
  if (status == 403) return "permission_error";
  if (status == 404) return "not_found_error";
  if (status == 429) return "rate_limit_error";
  return status < 500 ? "invalid_request_error" : "server_error";
}

Json OrNull(std::string_view text) { return text.empty() ? Json() : Json(text); }

}  // namespace

std::string ErrorJson(int status, std::string_view message, std::string_view param, std::string_view code) {
  const Json error = {
      {"message", message}, {"type", ErrorType(status)}, {"param", OrNull(param)}, {"code", OrNull(code)}};
  return Json{{"error", error}}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace linnet

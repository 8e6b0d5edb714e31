#include "serve/fields.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "serve/http.h"

namespace linnet {
namespace {

constexpr int kDeepest = 64;

/// Whether brackets outside of strings are nested deeper than that: writing such JSON would take as much
/// stack.
bool IsTooDeep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kDeepest) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

}  // namespace

Json ParseBody(std::string_view body) {
  if (IsTooDeep(body))
    throw HttpError(400, fmt::format("the request's JSON is nested more than {} deep", kDeepest));
  try {
    Json parsed = Json::parse(body);
    if (!parsed.is_object()) throw HttpError(400, "the request's body must be a JSON object");
    return parsed;
  } catch (const Json::exception& error) {
    throw HttpError(400, fmt::format("the request's body is not JSON: {}", error.what()));
  }
}

Json ParseText(std::string_view text) {
  if (IsTooDeep(text)) return Json(Json::value_t::discarded);
  return Json::parse(text, nullptr, /*allow_exceptions=*/false);
}

Fields::Fields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
  if (object.is_object()) return;
  const std::string name = where_.substr(0, where_.size() - std::min<size_t>(1, where_.size()));
  throw HttpError(400, fmt::format("'{}' must be an object", name), name);
}

const Json* Fields::Find(const char* name) const {
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void Fields::Refuse(const std::string& name, const std::string& why) const {
  throw HttpError(400, fmt::format("'{}{}' {}", where_, name, why), where_ + name);
}

void Fields::RefuseAll(std::initializer_list<const char*> names) const {
  for (const char* name : names) {
    if (Find(name) != nullptr) Refuse(name, "is not supported by this server");
  }
}

std::optional<bool> Fields::Bool(const char* name) const {
  const Json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) Refuse(name, "must be true or false");
  return value->get<bool>();
}

std::optional<double> Fields::Number(const char* name, double lowest, double highest) const {
  const Json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) Refuse(name, "must be a number");
  const auto number = value->get<double>();
  if (!(number >= lowest && number <= highest))
    Refuse(name, fmt::format("must lie between {} and {}", lowest, highest));
  return number;
}

std::optional<int64_t> Fields::Integer(const char* name, int64_t lowest, int64_t highest) const {
  const auto number = Number(name, static_cast<double>(lowest), static_cast<double>(highest));
  if (!number) return std::nullopt;
  if (std::trunc(*number) != *number) Refuse(name, "must be a whole number");
  // Doubles do not hold all of 64 bits; JSON that was written without a fraction does.
  const Json& value = *Find(name);
  if (value.is_number_integer()) return value.get<int64_t>();
  if (std::abs(*number) >= 0x1p63) Refuse(name, "is too large");
  return static_cast<int64_t>(*number);
}

std::optional<std::string> Fields::String(const char* name) const {
  const Json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) Refuse(name, "must be a string");
  return value->get<std::string>();
}

std::vector<std::string> Fields::Strings(const char* name, size_t most) const {
  const Json* value = Find(name);
  if (value == nullptr) return {};
  std::vector<std::string> strings;
  for (const Json& item : value->is_array() ? *value : Json::array({*value})) {
    if (!item.is_string() || item.get_ref<const std::string&>().empty())
      Refuse(name, "must be a string or a list of strings, none of them empty");
    strings.push_back(item.get<std::string>());
  }
  if (strings.size() > most)
    Refuse(name, fmt::format("has {} strings, {} are allowed", strings.size(), most));
  return strings;
}

}  // namespace linnet

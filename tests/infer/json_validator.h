// Whether a value fits a JSON schema, said the plain way: keyword by keyword, as the specification has them.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>

namespace linnet {

class JsonValidator {
 public:
  using Json = nlohmann::ordered_json;

  explicit JsonValidator(const Json& root) : root_(root) {}

  bool Fits(const Json& value) const { return Fits(value, root_); }

 private:
  bool Fits(const Json& value, const Json& schema) const {
    if (schema.is_boolean()) return schema.get<bool>();
    for (const auto& [key, rule] : schema.items())
      if (!Fits(value, key, rule, schema)) return false;
    return true;
  }

  bool Fits(const Json& value, const std::string& key, const Json& rule, const Json& schema) const {
    if (key == "$ref") return Fits(value, root_.at(Json::json_pointer(rule.get<std::string>().substr(1))));
    if (key == "type") return FitsType(value, rule);
    if (key == "const") return value == rule;
    if (key == "enum") return std::ranges::find(rule, value) != rule.end();
    const auto fits = [&](const Json& part) { return Fits(value, part); };
    if (key == "anyOf") return std::ranges::any_of(rule, fits);
    if (key == "oneOf") return std::ranges::count_if(rule, fits) == 1;
    if (key == "allOf") return std::ranges::all_of(rule, fits);
    if (value.is_object()) return FitsObject(value, key, rule, schema);
    if (value.is_array()) return FitsArray(value, key, rule, schema);
    if (value.is_string()) return FitsString(value.get<std::string>(), key, rule);
    if (value.is_number()) return FitsNumber(value.get<double>(), key, rule);
    return true;
  }

  static bool FitsType(const Json& value, const Json& type) {
    if (type.is_array()) return std::ranges::any_of(type, [&](const Json& t) { return FitsType(value, t); });
    if (type == "integer") return value.is_number_integer();
    if (type == "number") return value.is_number();
    return value.type_name() == type.get<std::string>();
  }

  bool FitsObject(const Json& value, const std::string& key, const Json& rule, const Json& schema) const {
    if (key == "required")
      return std::ranges::all_of(rule,
                                 [&](const Json& name) { return value.contains(name.get<std::string>()); });
    const Json known = schema.value("properties", Json::object());
    for (const auto& [name, member] : value.items()) {
      if (key == "properties" && rule.contains(name) && !Fits(member, rule[name])) return false;
      if (key == "additionalProperties" && !known.contains(name) && !Fits(member, rule)) return false;
    }
    return true;
  }

  bool FitsArray(const Json& value, const std::string& key, const Json& rule, const Json& schema) const {
    if (key == "minItems") return value.size() >= rule.get<size_t>();
    if (key == "maxItems") return value.size() <= rule.get<size_t>();
    const size_t first = schema.value("prefixItems", Json::array()).size();
    for (size_t i = 0; i < value.size(); ++i) {
      if (key == "prefixItems" && i < rule.size() && !Fits(value[i], rule[i])) return false;
      if (key == "items" && i >= first && !Fits(value[i], rule)) return false;
    }
    return true;
  }

  static bool FitsString(const std::string& value, const std::string& key, const Json& rule) {
    const auto characters = static_cast<size_t>(
        std::ranges::count_if(value, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
    if (key == "minLength") return characters >= rule.get<size_t>();
    if (key == "maxLength") return characters <= rule.get<size_t>();
    if (key == "pattern") return std::regex_search(value, std::regex(rule.get<std::string>()));
    if (key != "format") return true;
    static const std::map<std::string, std::string> kForms = {
        {"date", "^\\d{4}-\\d\\d-\\d\\d$"},
        {"time", "^\\d\\d:\\d\\d:\\d\\d(\\.\\d+)?(Z|[+-]\\d\\d:\\d\\d)$"},
        {"date-time", "^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d+)?(Z|[+-]\\d\\d:\\d\\d)$"},
        {"uuid", "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"},
        {"ipv4", "^(\\d{1,3}\\.){3}\\d{1,3}$"},
        {"email", "^[^@ ]+@[^@ ]+\\.[a-z]+$"}};
    return std::regex_search(value, std::regex(kForms.at(rule.get<std::string>())));
  }

  static bool FitsNumber(double value, const std::string& key, const Json& rule) {
    if (key == "minimum") return value >= rule.get<double>();
    if (key == "maximum") return value <= rule.get<double>();
    if (key == "exclusiveMinimum") return value > rule.get<double>();
    if (key == "exclusiveMaximum") return value < rule.get<double>();
    return true;
  }

  const Json& root_;
};

}  // namespace linnet

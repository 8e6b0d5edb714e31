#include "infer/json_schema_merge.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/check.h"

namespace linnet {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kMostNested = 50;

constexpr std::string_view kAnnotations[] = {
    "title", "description", "default",    "examples", "$schema",   "$id",           "id",      "$comment",
    "$defs", "definitions", "deprecated", "readOnly", "writeOnly", "discriminator", "$anchor", "strict"};

struct Keyword {
  std::string_view name, type;  // the type of values that it is about; "" for all
};
constexpr Keyword kKeywords[] = {{"type", ""},
                                 {"enum", ""},
                                 {"const", ""},
                                 {"anyOf", ""},
                                 {"oneOf", ""},
                                 {"allOf", ""},
                                 {"$ref", ""},
                                 {"properties", "object"},
                                 {"required", "object"},
                                 {"additionalProperties", "object"},
                                 {"items", "array"},
                                 {"prefixItems", "array"},
                                 {"additionalItems", "array"},
                                 {"minItems", "array"},
                                 {"maxItems", "array"},
                                 {"uniqueItems", "array"},
                                 {"minLength", "string"},
                                 {"maxLength", "string"},
                                 {"pattern", "string"},
                                 {"format", "string"},
                                 {"minimum", "number"},
                                 {"maximum", "number"},
                                 {"exclusiveMinimum", "number"},
                                 {"exclusiveMaximum", "number"},
                                 {"multipleOf", "number"}};

constexpr std::string_view kTypes[] = {"object", "array", "string", "number", "integer", "boolean", "null"};

const Keyword* FindKeyword(std::string_view name) {
  const auto* found = std::ranges::find(kKeywords, name, &Keyword::name);
  return found == std::end(kKeywords) ? nullptr : found;
}

bool TypesOverlap(const std::string& a, const std::string& b) {
  return a == b || (a == "integer" && b == "number") || (a == "number" && b == "integer");
}

/// The values that alone fit a schema; null if it does not say so.
Json ValuesOf(const Json& schema) {
  if (!schema.is_object()) return {};
  if (schema.contains("const")) return Json::array({schema["const"]});
  return schema.contains("enum") && schema["enum"].is_array() ? schema["enum"] : Json();
}

bool Requires(const Json& schema, const std::string& name) {
  const Json required = schema.value("required", Json::array());
  return std::ranges::find(required, Json(name)) != required.end();
}

Json Types(const Json& type) { return type.is_array() ? type : Json::array({type}); }

Json MergedTypes(const Json& a, const Json& b, const std::string& path) {
  Json both = Json::array();
  for (const Json& x : Types(a)) {
    for (const Json& y : Types(b)) {
      if (x == y) both.push_back(x);
      if ((x == "integer" && y == "number") || (x == "number" && y == "integer")) both.push_back("integer");
    }
  }
  Check(!both.empty(), "{}: nothing has the types {} and {}", path, a.dump(), b.dump());
  return both.size() == 1 ? both[0] : both;
}

Json Union(const Json& a, const Json& b) {
  Json all = a;
  for (const Json& x : b)
    if (std::ranges::find(all, x) == all.end()) all.push_back(x);
  return all;
}

Json Common(const Json& a, const Json& b, const std::string& path) {
  Json common = Json::array();
  for (const Json& x : a)
    if (std::ranges::find(b, x) != b.end()) common.push_back(x);
  Check(!common.empty(), "{}: no value is in both lists of enum", path);
  return common;
}

bool IsLower(std::string_view keyword) { return keyword.starts_with("min") || keyword == "exclusiveMinimum"; }
bool IsBound(std::string_view keyword) {
  return IsLower(keyword) || keyword.starts_with("max") || keyword == "exclusiveMaximum";
}

Json MergeProperties(const Json& a, const Json& b, const SchemaPlace& place, int nested) {
  Json all = a;
  for (const auto& [name, schema] : b.items())
    all[name] = all.contains(name) ? Merge(all[name], schema, place, nested + 1) : schema;
  return all;
}

/// What a keyword says in both schemas, together.
Json MergeKeyword(const std::string& key, const Json& a, const Json& b, const SchemaPlace& place,
                  int nested) {
  if (a == b) return a;
  if (key == "type") return MergedTypes(a, b, place.path);
  if (key == "required" && a.is_array() && b.is_array()) return Union(a, b);
  if (key == "enum" && a.is_array() && b.is_array()) return Common(a, b, place.path);
  if (key == "properties" && a.is_object() && b.is_object()) return MergeProperties(a, b, place, nested);
  if (key == "items" && !a.is_array() && !b.is_array()) return Merge(a, b, place, nested + 1);
  if (IsBound(key) && a.is_number() && b.is_number()) return (IsLower(key) ? a > b : a < b) ? a : b;
  if (IsAnnotation(key)) return b;
  Fail("{}: two schemas that must both fit say different things of {}, which is not supported", place.path,
       key);
}

/// Whether one of the two allows properties that the other leaves out: names that only it lists.
bool ClosesOther(const Json& closed, const Json& other) {
  const auto said = closed.find("additionalProperties");
  if (said == closed.end() || *said == true) return false;
  const Json known = closed.value("properties", Json::object()),
             named = other.value("properties", Json::object());
  return std::ranges::any_of(named.items(), [&](const auto& item) { return !known.contains(item.key()); });
}

}  // namespace

const Json& SchemaPlace::Resolve(const Json& ref) const {
  Check(ref.is_string() && ref.get_ref<const std::string&>().starts_with("#"),
        "{}/$ref: must refer to a place in the schema (\"#/$defs/name\") but is {}", path, ref.dump());
  const std::string& text = ref.get_ref<const std::string&>();
  try {
    return root.at(Json::json_pointer(text.substr(1)));
  } catch (const Json::exception&) {
    Fail("{}/$ref: the schema has no {}", path, text);
  }
}

bool SchemaPlace::Disjoint(const Json& a, const Json& b, int nested) const {
  if (nested > kMostNested) return false;
  if (!a.is_object() || !b.is_object()) return a == false || b == false;
  if (a.contains("$ref")) return Disjoint(Resolve(a["$ref"]), b, nested + 1);
  if (b.contains("$ref")) return Disjoint(a, Resolve(b["$ref"]), nested + 1);
  const Json some = ValuesOf(a), others = ValuesOf(b);
  if (!some.is_null() && !others.is_null())
    return std::ranges::none_of(some,
                                [&](const Json& x) { return std::ranges::find(others, x) != others.end(); });
  const auto one_type = TypesOf(a, path), other_type = TypesOf(b, path);
  bool overlap = false;
  for (const std::string& x : one_type)
    for (const std::string& y : other_type) overlap |= TypesOverlap(x, y);
  if (!overlap) return true;
  if (one_type != std::vector<std::string>{"object"} || other_type != one_type) return false;
  const Json one = a.value("properties", Json::object()), other = b.value("properties", Json::object());
  return std::ranges::any_of(one.items(), [&](const auto& item) {
    const std::string& name = item.key();
    return other.contains(name) && (Requires(a, name) && Requires(b, name)) &&
           Disjoint(item.value(), other[name], nested + 1);
  });
}

Json Merge(const Json& a, const Json& b, const SchemaPlace& place, int nested) {
  Check(nested <= kMostNested, "{}: a schema refers to itself before it says anything", place.path);
  if (a.is_boolean()) return a.get<bool>() ? b : a;
  if (b.is_boolean()) return b.get<bool>() ? a : b;
  const Json one = MergeAll(a, place, nested + 1), other = MergeAll(b, place, nested + 1);
  // A reference alone is still to be looked up.
  if (one.contains("$ref")) return Merge(place.Resolve(one["$ref"]), other, place, nested + 1);
  if (other.contains("$ref")) return Merge(one, place.Resolve(other["$ref"]), place, nested + 1);
  Check(
      !ClosesOther(one, other) && !ClosesOther(other, one),
      "{}: additionalProperties of one schema leaves out properties of another, so that both fit nothing but "
      "what neither says",
      place.path);
  Json merged = one;
  for (const auto& [key, value] : other.items())
    merged[key] = merged.contains(key) ? MergeKeyword(key, merged[key], value, place, nested) : value;
  return merged;
}

Json MergeAll(const Json& schema, const SchemaPlace& place, int nested) {
  Check(nested <= kMostNested, "{}: a schema refers to itself before it says anything", place.path);
  Check(schema.is_object(), "{}: a schema must be an object, true or false but is {}", place.path,
        schema.dump());
  const bool has_all = schema.contains("allOf");
  const bool has_ref = schema.contains("$ref");
  if (!has_all && !has_ref) return schema;
  Json rest = schema;
  rest.erase("allOf");
  rest.erase("$ref");
  const bool alone =
      std::ranges::all_of(rest.items(), [](const auto& item) { return IsAnnotation(item.key()); });
  if (has_ref && !has_all && alone) return {{"$ref", schema["$ref"]}};
  if (has_ref) rest = Merge(place.Resolve(schema["$ref"]), rest, place, nested + 1);
  if (!has_all) return rest;
  const Json& all = schema["allOf"];
  Check(all.is_array() && !all.empty(), "{}/allOf: must be a list of at least one schema", place.path);
  if (all.size() == 1 && !has_ref && alone) return MergeAll(all[0], place, nested + 1);
  for (const Json& part : all) rest = Merge(rest, part, place, nested + 1);
  return rest;
}

bool IsAnnotation(const std::string& keyword) {
  return keyword.starts_with("x-") || std::ranges::find(kAnnotations, keyword) != std::end(kAnnotations);
}

void CheckKeywords(const Json& schema, const std::string& path) {
  Check(schema.is_object(), "{}: a schema must be an object, true or false but is {}", path, schema.dump());
  for (const auto& [key, value] : schema.items())
    Check(FindKeyword(key) != nullptr || IsAnnotation(key), "{}/{}: this keyword is not supported", path,
          key);
}

std::vector<std::string> TypesOf(const Json& schema, const std::string& path) {
  std::vector<std::string> types;
  if (const auto type = schema.find("type"); type != schema.end()) {
    for (const Json& name : Types(*type)) {
      Check(name.is_string() && std::ranges::find(kTypes, name.get<std::string>()) != std::end(kTypes),
            "{}/type: there is no type {}", path, name.dump());
      types.push_back(name.get<std::string>());
    }
    Check(!types.empty(), "{}/type: is empty", path);
    return types;
  }
  for (const auto& [key, value] : schema.items()) {
    const Keyword* keyword = FindKeyword(key);
    if (keyword == nullptr || keyword->type.empty()) continue;
    if (std::ranges::find(types, keyword->type) == types.end()) types.emplace_back(keyword->type);
  }
  if (types.empty()) types = {"object", "array", "string", "number", "boolean", "null"};
  return types;
}

bool HasType(const Json& value, const std::string& type) {
  if (type == "integer")
    return value.is_number_integer() ||
           (value.is_number_float() && value.get<double>() == std::floor(value.get<double>()));
  return type == (value.is_number() ? "number" : value.type_name());
}

}  // namespace linnet

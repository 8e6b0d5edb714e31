#include "infer/json_schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_map>
#include <vector>

#include "base/check.h"
#include "infer/json_grammar.h"
#include "infer/json_schema_merge.h"
#include "text/utf8.h"

namespace linnet {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kMostNested = 100;
constexpr int kMostSchemas = 20'000;
constexpr size_t kMostNameBytes = 40;

// Days that every month of the year has; RFC 3339, 4122, 2673.
constexpr const char* kDate =
    "[0-9]{4} \"-\" ((\"0\" [1-9] | \"1\" [0-2]) \"-\" (\"0\" [1-9] | \"1\" [0-9] | \"2\" [0-8]))";
constexpr const char* kTime =
    "([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9] \":\" [0-5] [0-9] (\".\" [0-9]{1,6})? "
    "(\"Z\" | [+-] ([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9])";
constexpr const char* kUuid =
    "json-hex{8} \"-\" json-hex{4} \"-\" json-hex{4} \"-\" json-hex{4} \"-\" json-hex{12}";
constexpr const char* kByte = "(\"25\" [0-5] | \"2\" [0-4] [0-9] | \"1\" [0-9]{2} | [1-9]? [0-9])";
constexpr const char* kEmail =
    "[a-zA-Z0-9_+-]{1,32} (\".\" [a-zA-Z0-9_+-]{1,16}){0,2} \"@\" ([a-z] [a-z0-9]{0,30} \".\"){1,4} "
    "[a-z]{2,10}";

std::string FormatGrammar(const std::string& name) {
  if (name == "date") return kDate;
  if (name == "time") return kTime;
  if (name == "date-time") return fmt::format("{} \"T\" {}", kDate, kTime);
  if (name == "uuid") return kUuid;
  if (name == "ipv4") return fmt::format("{0} \".\" {0} \".\" {0} \".\" {0}", kByte);
  if (name == "email") return kEmail;
  return "";
}

/// {least,most} of a repetition; most < 0: no limit.
std::string Counts(int64_t least, int64_t most) {
  if (most < 0) return fmt::format("{{{},}}", least);
  return fmt::format("{{{},{}}}", least, most);
}

class Writer {
 public:
  Writer(const Json& root, const std::string& name) : root_(root), name_(name) {}

  std::string Write() {
    const std::string start = Value(root_, name_, "value", 0);
    std::string grammar = fmt::format("root ::= {}\n", start);
    for (const auto& [name, rule] : rules_) grammar += fmt::format("{} ::= {}\n", name, rule);
    grammar += kJsonRules;
    return grammar;
  }

 private:
  /// A place in a schema, for messages: "schema/properties/age".
  using Path = std::string;

  /// The name of a rule with this grammar, like the hint.
  std::string AddRule(const std::string& hint, const std::string& grammar) {
    const size_t rule = ReserveRule(hint);
    rules_[rule].second = grammar;
    return rules_[rule].first;
  }
  size_t ReserveRule(const std::string& hint) {
    std::string base;
    for (const char c : hint.substr(0, kMostNameBytes))
      base += std::isalnum(static_cast<unsigned char>(c)) ? c : '-';
    // Rules of kJsonRules begin with json- or are one word.
    rules_.emplace_back(
        fmt::format("{}-{}", base.starts_with("json") ? "x-" + base : base, rules_.size() + 1), "");
    return rules_.size() - 1;
  }

  /// A rule or expression for values that fit the schema.
  std::string Value(const Json& given, const Path& path, const std::string& hint, int nested) {
    Check(nested <= kMostNested, "{}: schemas are nested more than {} deep here", path, kMostNested);
    Check(++schemas_ <= kMostSchemas, "{}: the schema has more than {} parts", path, kMostSchemas);
    if (given.is_boolean()) {
      Check(given.get<bool>(), "{}: nothing fits a schema that is false", path);
      return "json-value";
    }
    const SchemaPlace place{root_, path};
    const Json schema = MergeAll(given, place);
    CheckKeywords(schema, path);
    if (const auto ref = schema.find("$ref"); ref != schema.end()) return Reference(*ref, path, hint, nested);
    if (schema.contains("enum") || schema.contains("const")) return Constants(schema, path, hint);
    if (const char* key = schema.contains("anyOf") ? "anyOf" : schema.contains("oneOf") ? "oneOf" : nullptr)
      return Choice(schema, key, path, hint, nested);
    std::vector<std::string> choices;
    for (const std::string& type : TypesOf(schema, path))
      choices.push_back(OfType(type, schema, path, hint, nested));
    if (choices.size() == 1) return choices[0];
    return "(" + GrammarChoice(choices) + ")";
  }

  /// Each schema that is referred to is one rule, which it may call itself.
  std::string Reference(const Json& ref, const Path& path, const std::string& hint, int nested) {
    const SchemaPlace place{root_, path};
    const Json& target = place.Resolve(ref);
    const std::string& pointer = ref.get_ref<const std::string&>();
    const auto [found, is_new] = references_.try_emplace(pointer, 0);
    if (is_new) {
      const size_t slash = pointer.rfind('/');
      found->second = ReserveRule(slash == std::string::npos ? hint : pointer.substr(slash + 1));
      const size_t rule = found->second;
      const std::string grammar = Value(target, name_ + pointer.substr(1), hint, nested + 1);
      rules_[rule].second = grammar;
      return rules_[rule].first;
    }
    return rules_[found->second].first;
  }

  std::string Constants(const Json& schema, const Path& path, const std::string& hint) {
    Json values = schema.contains("const") ? Json::array({schema["const"]}) : schema["enum"];
    Check(values.is_array() && !values.empty(), "{}/enum: must be a list of at least one value", path);
    if (schema.contains("const") && schema.contains("enum"))
      Check(std::ranges::find(schema["enum"], schema["const"]) != schema["enum"].end(),
            "{}: const is not in enum, so nothing fits", path);
    std::vector<std::string> choices;
    const std::vector<std::string> types = TypesOf(schema, path);
    for (const Json& value : values) {
      if (schema.contains("type") && !std::ranges::any_of(types, [&](auto& t) { return HasType(value, t); }))
        continue;
      choices.push_back(GrammarLiteral(value.dump(-1, ' ', false, Json::error_handler_t::replace)));
    }
    Check(!choices.empty(), "{}: no value of enum or const is of its type", path);
    for (const auto& [key, unused] : schema.items())
      Check(key == "enum" || key == "const" || key == "type" || IsAnnotation(key),
            "{}/{}: is not supported beside enum or const", path, key);
    return AddRule(hint, GrammarChoice(choices));
  }

  std::string Choice(const Json& schema, const std::string& key, const Path& path, const std::string& hint,
                     int nested) {
    Check(!schema.contains("anyOf") || !schema.contains("oneOf"),
          "{}: anyOf and oneOf together are not supported", path);
    const Json& parts = schema[key];
    Check(parts.is_array() && !parts.empty(), "{}/{}: must be a list of at least one schema", path, key);
    Json rest = schema;
    rest.erase(key);
    const bool alone =
        std::ranges::all_of(rest.items(), [](const auto& item) { return IsAnnotation(item.key()); });
    const SchemaPlace place{root_, path + "/" + key};
    std::vector<std::string> choices;
    std::vector<Json> merged;
    for (size_t i = 0; i < parts.size(); ++i) {
      if (parts[i].is_boolean() && !parts[i].get<bool>()) continue;
      Json part = alone ? parts[i] : Merge(rest, parts[i], place);
      if (key == "oneOf") {
        for (const Json& other : merged)
          Check(
              place.Disjoint(part, other),
              "{}/oneOf: a value could fit two of its schemas, which it may not; say anyOf, or give objects "
              "a required property with a const that tells them apart",
              path);
        merged.push_back(part);
      }
      choices.push_back(Value(part, fmt::format("{}/{}/{}", path, key, i), hint, nested + 1));
    }
    Check(!choices.empty(), "{}/{}: nothing fits", path, key);
    return AddRule(hint, GrammarChoice(choices));
  }

  std::string OfType(const std::string& type, const Json& schema, const Path& path, const std::string& hint,
                     int nested) {
    if (type == "object") return Object(schema, path, hint, nested);
    if (type == "array") return Array(schema, path, hint, nested);
    if (type == "string") return String(schema, path, hint);
    if (type == "integer" || type == "number") return Number(schema, path, type == "integer");
    if (type == "boolean") return "json-boolean";
    return "json-null";
  }

  static int64_t Count(const Json& schema, const char* key, int64_t otherwise, const Path& path) {
    const auto found = schema.find(key);
    if (found == schema.end()) return otherwise;
    const bool whole = found->is_number_integer() ||
                       (found->is_number_float() && found->get<double>() == std::floor(found->get<double>()));
    Check(whole && found->get<double>() >= 0 && found->get<double>() <= 1e6,
          "{}/{}: must be a whole number from 0 to 1,000,000 but is {}", path, key, found->dump());
    return found->get<int64_t>();
  }

  std::string String(const Json& schema, const Path& path, const std::string& hint) {
    const int64_t least = Count(schema, "minLength", 0, path), most = Count(schema, "maxLength", -1, path);
    Check(most < 0 || least <= most, "{}: minLength is above maxLength", path);
    const bool sized = least > 0 || most >= 0;
    const auto pattern = schema.find("pattern"), format = schema.find("format");
    const bool has_pattern = pattern != schema.end(), has_format = format != schema.end();
    Check(sized + has_pattern + has_format <= 1,
          "{}: pattern, format, and minLength or maxLength are not supported together", path);
    if (has_pattern) {
      Check(pattern->is_string(), "{}/pattern: must be a string", path);
      try {
        return AddRule(hint, fmt::format("\"\\\"\" ({}) \"\\\"\"",
                                         PatternGrammar(pattern->get_ref<const std::string&>())));
      } catch (const Error& error) {
        Fail("{}/pattern: {}", path, error.what());
      }
    }
    if (has_format) {
      Check(format->is_string(), "{}/format: must be a string", path);
      const std::string grammar = FormatGrammar(format->get<std::string>());
      Check(!grammar.empty(),
            "{}/format: '{}' is not supported; known are date, time, date-time, uuid, ipv4, email", path,
            format->get<std::string>());
      return AddRule(hint, fmt::format("\"\\\"\" {} \"\\\"\"", grammar));
    }
    if (!sized) return "json-string";
    return AddRule(hint, fmt::format("\"\\\"\" json-char{} \"\\\"\"", Counts(least, most)));
  }

  /// The tighter of an inclusive and an exclusive bound, as a whole number and whether it is left out.
  struct Bound {
    bool given = false, exclusive = false;
    int64_t value = 0;
  };
  static Bound BoundOf(const Json& schema, const std::string& side, bool integer, const Path& path) {
    const bool lower = side == "minimum";
    Bound bound;
    for (const bool exclusive : {false, true}) {
      const std::string key = exclusive ? (lower ? "exclusiveMinimum" : "exclusiveMaximum") : side;
      const auto found = schema.find(key);
      if (found == schema.end()) continue;
      Check(found->is_number() && std::abs(found->get<double>()) <= 1e15,
            "{}/{}: must be a number between -1e15 and 1e15 but is {}", path, key, found->dump());
      const double given = found->get<double>(), whole = lower ? std::ceil(given) : std::floor(given);
      auto value = static_cast<int64_t>(whole);
      bool left_out = exclusive && whole == given;
      if (integer && left_out) value += lower ? 1 : -1, left_out = false;
      const bool tighter = !bound.given || (lower ? value > bound.value : value < bound.value);
      if (tighter) {
        bound = {true, left_out, value};
      } else if (value == bound.value) {
        bound.exclusive |= left_out;
      }
    }
    return bound;
  }

  std::string Number(const Json& schema, const Path& path, bool integer) {
    if (const auto step = schema.find("multipleOf"); step != schema.end())
      Check(integer && *step == 1, "{}/multipleOf: is not supported", path);
    Bound least = BoundOf(schema, "minimum", integer, path), most = BoundOf(schema, "maximum", integer, path);
    if (!least.given && !most.given) return integer ? "json-integer" : "json-number";
    constexpr int64_t kFar = 999'999'999'999'999'999;
    if (!least.given) least.value = -kFar;
    if (!most.given) most.value = kFar;
    const bool empty =
        least.value > most.value || (least.value == most.value && (least.exclusive || most.exclusive));
    Check(!empty, "{}: no {} that can be written lies between minimum and maximum", path,
          integer ? "whole number" : "number");
    if (integer) return IntegerRange(least.value, most.value);
    return NumberRange(least.value, most.value, least.exclusive, most.exclusive);
  }

  std::string Array(const Json& schema, const Path& path, const std::string& hint, int nested) {
    if (const auto unique = schema.find("uniqueItems"); unique != schema.end())
      Check(*unique == false, "{}/uniqueItems: is not supported", path);
    const int64_t least = Count(schema, "minItems", 0, path);
    int64_t most = Count(schema, "maxItems", -1, path);
    Check(most < 0 || least <= most, "{}: minItems is above maxItems", path);
    // Before 2020, the first items were a list under `items`, the others under `additionalItems`.
    Json first = schema.value("prefixItems", Json::array()), others = schema.value("items", Json(true));
    if (others.is_array()) first = others, others = schema.value("additionalItems", Json(true));
    Check(first.is_array(), "{}/prefixItems: must be a list of schemas", path);
    const bool closed = others.is_boolean() && !others.get<bool>();
    auto prefix = static_cast<int64_t>(first.size());
    if (closed && (most < 0 || most > prefix)) most = prefix;
    if (most >= 0) prefix = std::min(prefix, most);
    Check(most < 0 || least <= most, "{}: minItems asks for more items than there are schemas", path);
    std::vector<std::string> items;
    for (int64_t i = 0; i < prefix; ++i)
      items.push_back(Value(first[static_cast<size_t>(i)], fmt::format("{}/prefixItems/{}", path, i),
                            hint + "-item", nested + 1));
    std::string other;
    if (!closed && most != prefix) other = Value(others, path + "/items", hint + "-item", nested + 1);
    return AddRule(hint, "\"[\" ws " + Items(items, other, least, most) + " \"]\"");
  }

  /// What stands between the brackets. The k-th item is there if more are, or if there must be so many.
  std::string Items(const std::vector<std::string>& first, const std::string& other, int64_t least,
                    int64_t most) {
    const auto prefix = static_cast<int64_t>(first.size());
    std::string rest;
    if (!other.empty()) {
      const int64_t after_prefix = std::max<int64_t>(prefix, 1);
      rest = fmt::format(
          "(\",\" ws {}){}", other,
          Counts(std::max<int64_t>(least - after_prefix, 0), most < 0 ? -1 : most - after_prefix));
      if (prefix == 0) {
        rest = fmt::format("{} {}", other, rest);
        return least > 0 ? rest + " ws" : fmt::format("({} ws)?", rest);
      }
    }
    for (int64_t i = prefix - 1; i >= 0; --i) {
      const std::string& item = first[static_cast<size_t>(i)];
      rest = fmt::format("{} {} {}", i > 0 ? "\",\" ws" : "", item, rest);
      if (i >= least)
        rest = fmt::format("({}{})?", rest, i == 0 ? " ws" : "");
      else if (i == 0)
        rest += " ws";
    }
    return rest;
  }

  struct Member {
    std::string grammar;
    bool required;
  };

  std::string Object(const Json& schema, const Path& path, const std::string& hint, int nested) {
    const Json properties = schema.value("properties", Json::object());
    Check(properties.is_object(), "{}/properties: must be an object", path);
    std::set<std::string> required;
    for (const Json& name : schema.value("required", Json::array())) {
      Check(name.is_string(), "{}/required: must be a list of names", path);
      required.insert(name.get<std::string>());
    }
    // What is not said of other properties leaves them out, unless nothing is said of any.
    const Json others = schema.value("additionalProperties", Json(properties.empty() && required.empty()));
    const bool closed = others.is_boolean() && !others.get<bool>();
    std::vector<Member> members;
    std::set<std::string> names;
    for (const auto& [name, property] : properties.items()) {
      const bool never = property.is_boolean() && !property.get<bool>();
      names.insert(name);
      Check(!never || !required.contains(name), "{}: '{}' is required, but nothing fits it", path, name);
      if (never) continue;
      const std::string value =
          Value(property, fmt::format("{}/properties/{}", path, name), name, nested + 1);
      members.push_back(
          {fmt::format("{} \":\" ws {}", GrammarLiteral(Json(name).dump()), value), required.contains(name)});
    }
    for (const std::string& name : required) {
      if (!names.insert(name).second) continue;
      Check(!schema.contains("additionalProperties") || !closed,
            "{}: '{}' is required, but additionalProperties allows none of that name", path, name);
      const std::string value =
          closed ? "json-value" : Value(others, path + "/additionalProperties", name, nested + 1);
      members.push_back({fmt::format("{} \":\" ws {}", GrammarLiteral(Json(name).dump()), value), true});
    }
    std::string other;
    if (!closed) {
      const std::string value = Value(others, path + "/additionalProperties", hint + "-value", nested + 1);
      other = AddRule(hint + "-other", fmt::format("{} \":\" ws {}", OtherName(names, hint), value));
    }
    return AddRule(hint, "\"{\" ws " + Members(members, other, hint) + " \"}\"");
  }

  /// What stands between the braces. From behind: a rule for what may follow each member, and the ways to
  /// begin, as any of the members up to the first required one may be the first.
  std::string Members(const std::vector<Member>& members, const std::string& other, const std::string& hint) {
    std::string after = other.empty() ? "" : fmt::format("(\",\" ws {})*", other);
    std::string first = other.empty() ? "" : fmt::format("{} {} ws", other, after);
    bool may_be_empty = true;
    std::vector<std::string> firsts;
    if (!first.empty()) firsts.push_back(first);
    for (auto member = members.rbegin(); member != members.rend(); ++member) {
      const std::string rest = after.empty() ? "" : AddRule(hint + "-rest", after);
      if (member->required) firsts.clear(), may_be_empty = false;
      firsts.push_back(fmt::format("{} {} ws", member->grammar, rest));
      after = fmt::format("(\",\" ws {}){} {}", member->grammar, member->required ? "" : "?", rest);
    }
    if (firsts.empty()) return "";
    std::reverse(firsts.begin(), firsts.end());
    return "(" + GrammarChoice(firsts) + (may_be_empty ? ")?" : ")");
  }

  /// A name that is none of these, without escapes, so that it is not one of them written otherwise.
  std::string OtherName(const std::set<std::string>& names, const std::string& hint) {
    constexpr const char* kPlain = "[^\"\\\\\\x00-\\x1F\\x7F]";
    if (names.empty()) return fmt::format("\"\\\"\" {}* \"\\\"\"", kPlain);
    return fmt::format("\"\\\"\" {} \"\\\"\"", NotAmong({names.begin(), names.end()}, hint, kPlain));
  }

  /// A rule for texts of plain characters that are none of `names`, which are sorted.
  std::string NotAmong(const std::vector<std::string>& names, const std::string& hint, const char* plain) {
    std::vector<std::string> choices;
    std::string followed;  // characters that names go on with
    bool may_end = true;
    for (size_t begin = 0; begin < names.size();) {
      if (names[begin].empty()) {
        may_end = false, ++begin;
        continue;
      }
      const size_t length = FirstCharacter(names[begin]).length;
      const std::string character = names[begin].substr(0, length);
      std::vector<std::string> rests;
      for (; begin < names.size() && names[begin].starts_with(character); ++begin)
        rests.push_back(names[begin].substr(length));
      const char32_t code = FirstCharacter(character).code;
      if (code < 0x20 || code == U'"' || code == U'\\' || code == 0x7F) continue;  // never written plainly
      followed += GrammarClassCharacter(code);
      choices.push_back(fmt::format("{} {}", GrammarLiteral(character), NotAmong(rests, hint, plain)));
    }
    choices.push_back(fmt::format("[^\"\\\\\\x00-\\x1F\\x7F{}] {}*", followed, plain));
    return AddRule(hint + "-name", may_end ? "(" + GrammarChoice(choices) + ")?" : GrammarChoice(choices));
  }

  const Json& root_;
  const std::string& name_;
  std::vector<std::pair<std::string, std::string>> rules_;
  std::unordered_map<std::string, size_t> references_;  // rules of pointers
  int schemas_ = 0;
};

}  // namespace

std::string JsonGrammar() { return "root ::= json-value\n" + std::string(kJsonRules); }
std::string JsonObjectGrammar() { return "root ::= json-object\n" + std::string(kJsonRules); }

std::string JsonSchemaGrammar(std::string_view schema, const std::string& name) {
  const Json parsed = Json::parse(schema, nullptr, false);
  Check(!parsed.is_discarded(), "{}: is no JSON", name);
  try {
    return Writer(parsed, name).Write();
  } catch (const Json::exception& error) {
    Fail("{}: is no schema: {}", name, error.what());
  }
}

}  // namespace linnet

// What schemas have to do with each other (infer/json_schema.h): $ref, allOf, which of them can fit the same
// value.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace linnet {

/// A place in a schema: the whole, and what to call the place in messages.
struct SchemaPlace {
  const nlohmann::ordered_json& root;
  std::string path;

  /// What "#/$defs/x" refers to.
  const nlohmann::ordered_json& Resolve(const nlohmann::ordered_json& ref) const;
  /// Whether it is certain that no value fits both.
  bool Disjoint(const nlohmann::ordered_json& a, const nlohmann::ordered_json& b, int nested = 0) const;
};

/// One schema for what fits both. Throws Error if that cannot be said in one.
nlohmann::ordered_json Merge(const nlohmann::ordered_json& a, const nlohmann::ordered_json& b,
                             const SchemaPlace& place, int nested = 0);
/// A schema without allOf, and with a $ref only if nothing is beside it.
nlohmann::ordered_json MergeAll(const nlohmann::ordered_json& schema, const SchemaPlace& place,
                                int nested = 0);

/// Words about a schema that say nothing of what fits it.
bool IsAnnotation(const std::string& keyword);
/// Throws Error naming a keyword that is not supported, or if the schema is no object.
void CheckKeywords(const nlohmann::ordered_json& schema, const std::string& path);
/// `type`, or what the keywords that are there imply.
std::vector<std::string> TypesOf(const nlohmann::ordered_json& schema, const std::string& path);
bool HasType(const nlohmann::ordered_json& value, const std::string& type);

}  // namespace linnet

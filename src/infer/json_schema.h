// JSON schemas (json-schema.org, draft 2020-12; RFC 8259 for JSON) as grammars: what fits the grammar is JSON
// that fits the schema. It need not be all of it: keys come in the order of `properties`, what a schema does
// not name is not written unless it asks for it, white space is short. docs/grammar.md lists what is known;
// keywords that would say more than the grammar can are refused by name, never left out.
#pragma once

#include <string>
#include <string_view>

namespace linnet {

/// Any value of JSON; any object.
std::string JsonGrammar();
std::string JsonObjectGrammar();

/// Throws Error, starting with `name` and the place in the schema ("schema/properties/age"), for what is
/// malformed or not supported.
std::string JsonSchemaGrammar(std::string_view schema, const std::string& name = "schema");

}  // namespace linnet

// Pieces of grammars (infer/grammar_text.h) for JSON, from which infer/json_schema.h puts together its own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace linnet {

/// The rules json-value, -object, -array, -string, -char (one character inside a string), -number, -integer,
/// -boolean, -null and ws, a line each.
extern const std::string_view kJsonRules;

/// Any of some pieces: a | b.
std::string GrammarChoice(const std::vector<std::string>& choices);
/// A text as it stands in a grammar: in quotation marks.
std::string GrammarLiteral(std::string_view text);
/// A character inside a class of a grammar.
std::string GrammarClassCharacter(char32_t code);

/// Whole numbers from `least` to `most`, both included; with `fractions`, all numbers between, whose bounds
/// are left out if they are exclusive (`least` < `most` then).
std::string IntegerRange(int64_t least, int64_t most);
std::string NumberRange(int64_t least, int64_t most, bool without_least, bool without_most);

/// A regular expression (ECMA-262, what is regular of it) over the characters of a string of JSON, as they
/// are written between its quotation marks. As there, it may begin and end anywhere unless ^ and $ say
/// otherwise. Throws Error for what is malformed or cannot be had: \b, back references, looking ahead.
std::string PatternGrammar(std::string_view pattern);

}  // namespace linnet

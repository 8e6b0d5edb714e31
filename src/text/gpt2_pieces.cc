#include "text/gpt2_pieces.h"

#include <algorithm>
#include <array>

#include "text/unicode.h"
#include "text/utf8.h"

namespace linnet {
namespace {

struct Symbol {
  CharacterClass kind;
  size_t length;
};

Symbol FirstSymbol(std::string_view text) {
  static const std::array<CharacterClass, 128> ascii = [] {
    std::array<CharacterClass, 128> classes{};
    for (char32_t c = 0; c < 128; ++c) classes[c] = ClassOf(c);
    return classes;
  }();
  const auto byte = static_cast<unsigned char>(text[0]);
  if (byte < 128) return {ascii[byte], 1};
  const Character character = FirstCharacter(text);
  return {character.valid ? ClassOf(character.code) : CharacterClass::kOther, character.length};
}

/// Bytes of the run of characters of that class that `text` begins with.
size_t RunLength(std::string_view text, CharacterClass kind) {
  size_t length = 0;
  while (length < text.size()) {
    const Symbol symbol = FirstSymbol(text.substr(length));
    if (symbol.kind != kind) break;
    length += symbol.length;
  }
  return length;
}

size_t EndingLength(std::string_view text) {
  for (std::string_view ending : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}) {
    if (text.starts_with(ending)) return ending.size();
  }
  return 0;
}

/// A run of white space leaves its last character to what follows, unless that is all it has.
size_t SpaceLength(std::string_view text) {
  size_t length = 0, last = 0;
  while (length < text.size()) {
    const Symbol symbol = FirstSymbol(text.substr(length));
    if (symbol.kind != CharacterClass::kSpace) return last > 0 ? last : length;
    last = length;
    length += symbol.length;
  }
  return length;
}

bool IsAsciiSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/// Whether `text` (not empty) ends with a character that is no white space.
bool EndsVisibly(std::string_view text) {
  size_t start = text.size() - 1;
  const size_t earliest = text.size() - std::min<size_t>(text.size(), 4);
  while (start > earliest && (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) --start;
  const Symbol symbol = FirstSymbol(text.substr(start));
  return symbol.kind != CharacterClass::kSpace || start + symbol.length != text.size();
}

}  // namespace

size_t FirstGpt2Piece(std::string_view text) {
  if (const size_t ending = EndingLength(text)) return ending;
  const size_t space = text[0] == ' ' && text.size() > 1 ? 1 : 0;
  const CharacterClass kind = FirstSymbol(text.substr(space)).kind;
  if (kind == CharacterClass::kSpace) return SpaceLength(text);
  return space + RunLength(text.substr(space), kind);
}

size_t LastGpt2Border(std::string_view text) {
  for (size_t at = text.size(); at-- > 1;) {
    if (IsAsciiSpace(text[at]) && EndsVisibly(text.substr(0, at))) return at;
  }
  return 0;
}

}  // namespace linnet

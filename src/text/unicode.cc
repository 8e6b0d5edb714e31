#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "text/utf8.h"

namespace linnet {
namespace {

/// All characters below U+0300 are in normal form and start anew: a text without a byte from 0xCC on, where
/// U+0300 begins, is in normal form.
bool IsSurelyNormal(std::string_view bytes) {
  return std::none_of(bytes.begin(), bytes.end(),
                      [](char c) { return static_cast<unsigned char>(c) >= 0xCC; });
}

using Codes = std::vector<utf8proc_int32_t>;

constexpr auto kNfc = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);

int CombiningClass(utf8proc_int32_t code) { return utf8proc_get_property(code)->combining_class; }

/// Appends the canonical decomposition of a character.
void AppendDecomposed(char32_t code, Codes& codes) {
  constexpr size_t kMost = 8;  // the longest has four codes
  const size_t size = codes.size();
  codes.resize(size + kMost);
  const auto length =
      utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code), codes.data() + size, kMost, kNfc, nullptr);
  Check(length > 0 && length <= static_cast<utf8proc_ssize_t>(kMost), "[nfc] cannot decompose U+{:04X}",
        static_cast<uint32_t>(code));
  codes.resize(size + static_cast<size_t>(length));
}

/// Puts marks that follow each other into the order of their classes. Sorted here, as utf8proc's own way
/// takes quadratic time for a text that is nothing but marks.
void OrderMarks(Codes& codes) {
  const auto is_mark = [](utf8proc_int32_t code) { return CombiningClass(code) != 0; };
  for (auto at = codes.begin(); at != codes.end();) {
    const auto begin = std::find_if(at, codes.end(), is_mark);
    at = std::find_if_not(begin, codes.end(), is_mark);
    std::stable_sort(begin, at, [](auto a, auto b) { return CombiningClass(a) < CombiningClass(b); });
  }
}

/// Appends the composed form of `codes`, a decomposition, and empties them.
void AppendComposed(Codes& codes, std::string& out) {
  OrderMarks(codes);
  const auto composed =
      utf8proc_normalize_utf32(codes.data(), static_cast<utf8proc_ssize_t>(codes.size()), kNfc);
  utf8proc_uint8_t character[4];
  for (utf8proc_ssize_t i = 0; i < composed; ++i) {
    const auto length = utf8proc_encode_char(codes[i], character);
    out.append(reinterpret_cast<const char*>(character), static_cast<size_t>(length));
  }
  codes.clear();
}

/// Appends the normal form of a line. Bytes that are no characters stay, and nothing composes across them.
void AppendNormal(std::string_view line, Codes& codes, std::string& out) {
  while (!line.empty()) {
    const Character character = FirstCharacter(line);
    if (character.valid) {
      AppendDecomposed(character.code, codes);
    } else {
      AppendComposed(codes, out);
      out += line.substr(0, character.length);
    }
    line.remove_prefix(character.length);
  }
  AppendComposed(codes, out);
}

}  // namespace

CharacterClass ClassOf(char32_t code) {
  if ((code >= 9 && code <= 13) || code == ' ' || code == 0x85) return CharacterClass::kSpace;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return CharacterClass::kLetter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return CharacterClass::kNumber;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return CharacterClass::kSpace;
    default:
      return CharacterClass::kOther;
  }
}

std::string Nfc(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  Codes codes;
  while (!bytes.empty()) {  // line by line: nothing composes with the end of a line
    const size_t end = bytes.find('\n');
    const std::string_view line = bytes.substr(0, end == std::string_view::npos ? end : end + 1);
    if (IsSurelyNormal(line)) {
      out += line;
    } else {
      AppendNormal(line, codes, out);
    }
    bytes.remove_prefix(line.size());
  }
  return out;
}

}  // namespace linnet

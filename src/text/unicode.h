// What Unicode says of characters, as far as tokenizers ask: classes and normal form C (Unicode Standard
// Annex #15), both by utf8proc. Bytes that are no UTF-8 pass through unchanged.
#pragma once

#include <string>
#include <string_view>

namespace linnet {

enum class CharacterClass {
  kLetter,  // \p{L}
  kNumber,  // \p{N}
  kSpace,   // the property White_Space: \s
  kOther,
};
CharacterClass ClassOf(char32_t code);

/// `bytes` in normal form C: composed where there is a composed character ("e" and U+0301 give U+00E9).
std::string Nfc(std::string_view bytes);

}  // namespace linnet

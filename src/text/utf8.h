// Utf8Stream: cuts a stream of bytes at the borders of characters. A model emits bytes, or tokens that end
// inside a character; a terminal or a JSON string needs whole ones.
//
// Well-formed UTF-8 (Unicode 15, table 3-7):
//   00..7F      C2..DF T      E0 A0..BF T      E1..EC,EE,EF T T      ED 80..9F T
//   F0 90..BF T T      F1..F3 T T T      F4 80..8F T T      where T is 80..BF
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace linnet {

/// A character at the start of some bytes, or what stands in its place.
struct Character {
  char32_t code;  // U+FFFD for bytes that are no character
  size_t length;  // in bytes; of bytes that are no character, those that were the start of one, or one
  bool valid;
};

/// The first character of `bytes`, which must not be empty.
Character FirstCharacter(std::string_view bytes);

/// Appends the UTF-8 of a character; false if there is none of that code (surrogates are none).
bool AppendUtf8(char32_t code, std::string& out);

/// Bytes as people read them on one line: text as it is; if anything in it is no text, that in hexadecimal.
std::string Readable(std::string_view bytes);

class Utf8Stream {
 public:
  /// What becomes of bytes that are no character. A pipe gets kRaw: the program writes what the model said,
  /// byte by byte.
  enum class Mode {
    /// They pass unchanged.
    kRaw,
    /// The longest start of a character, or a single byte, becomes one U+FFFD: the output is valid UTF-8.
    kValid,
    /// As kValid, and so do control characters other than tab, line feed and carriage return: a model's text
    /// gives a terminal no orders.
    kTerminal,
  };

  explicit Utf8Stream(Mode mode) : mode_(mode) {}

  /// Takes the next bytes and returns what is complete. Holds back at most three bytes, and only while they
  /// can still become a character.
  std::string Push(std::string_view bytes);
  /// The stream ends: what was held back.
  std::string Finish();

 private:
  void Emit(std::string_view bytes, bool valid, std::string& out) const;

  Mode mode_;
  std::string held_;
};

}  // namespace linnet

#include "text/utf8.h"

#include <fmt/format.h>

#include <cstdint>

namespace linnet {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

struct Lead {
  size_t length;            // of the character; 0 if no character starts so
  uint8_t lowest, highest;  // what its second byte may be
};

Lead LeadOf(uint8_t byte) {
  if (byte <= 0x7F) return {1, 0, 0};
  if (byte >= 0xC2 && byte <= 0xDF) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};  // no surrogates
  if (byte >= 0xE1 && byte <= 0xEF) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte >= 0xF1 && byte <= 0xF3) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};  // up to U+10FFFF
  return {0, 0, 0};
}

struct Piece {
  enum class Kind { kCharacter, kInvalid, kCut } kind;
  size_t length;
};

/// The first character of `bytes` (not empty), or what stands in its place.
Piece FirstPiece(std::string_view bytes) {
  const Lead lead = LeadOf(static_cast<uint8_t>(bytes[0]));
  if (lead.length == 0) return {Piece::Kind::kInvalid, 1};
  uint8_t lowest = lead.lowest, highest = lead.highest;
  for (size_t i = 1; i < lead.length; ++i) {
    if (i == bytes.size()) return {Piece::Kind::kCut, i};
    const auto byte = static_cast<uint8_t>(bytes[i]);
    if (byte < lowest || byte > highest) return {Piece::Kind::kInvalid, i};
    lowest = 0x80, highest = 0xBF;
  }
  return {Piece::Kind::kCharacter, lead.length};
}

/// U+0000..1F, 7F and 80..9F but for tab, line feed and carriage return.
bool IsControl(std::string_view character) {
  const auto first = static_cast<uint8_t>(character[0]);
  if (character.size() == 1)
    return (first < 0x20 && first != '\t' && first != '\n' && first != '\r') || first == 0x7F;
  return first == 0xC2 && static_cast<uint8_t>(character[1]) < 0xA0;
}

}  // namespace

bool AppendUtf8(char32_t code, std::string& out) {
  if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return false;
  const int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  constexpr uint8_t kLeads[] = {0x00, 0xC0, 0xE0, 0xF0};
  out += static_cast<char>(kLeads[more] | code >> (6 * more));
  for (int i = more - 1; i >= 0; --i) out += static_cast<char>(0x80 | (code >> (6 * i) & 0x3F));
  return true;
}

Character FirstCharacter(std::string_view bytes) {
  const Piece piece = FirstPiece(bytes);
  if (piece.kind != Piece::Kind::kCharacter) return {U'\uFFFD', piece.length, false};
  const auto lead = static_cast<uint8_t>(bytes[0]);
  char32_t code = piece.length == 1 ? lead : lead & (0x7F >> piece.length);
  for (size_t i = 1; i < piece.length; ++i) code = code << 6 | (static_cast<uint8_t>(bytes[i]) & 0x3F);
  return {code, piece.length, true};
}

void Utf8Stream::Emit(std::string_view bytes, bool valid, std::string& out) const {
  const bool replace =
      (!valid && mode_ != Mode::kRaw) || (valid && mode_ == Mode::kTerminal && IsControl(bytes));
  out += replace ? kReplacement : bytes;
}

std::string Utf8Stream::Push(std::string_view bytes) {
  held_ += bytes;
  std::string out;
  std::string_view rest = held_;
  while (!rest.empty()) {
    const Piece piece = FirstPiece(rest);
    if (piece.kind == Piece::Kind::kCut) break;
    Emit(rest.substr(0, piece.length), piece.kind == Piece::Kind::kCharacter, out);
    rest.remove_prefix(piece.length);
  }
  held_.erase(0, held_.size() - rest.size());
  return out;
}

std::string Readable(std::string_view bytes) {
  Utf8Stream stream(Utf8Stream::Mode::kTerminal);
  std::string text = stream.Push(bytes);
  text += stream.Finish();
  if (text == bytes && text.find_first_of("\t\r\n") == std::string::npos) return text;
  std::string escaped;
  for (unsigned char c : bytes) {
    const bool plain = c >= ' ' && c <= '~' && c != '\\';
    escaped += plain ? std::string(1, static_cast<char>(c)) : fmt::format("\\x{:02x}", c);
  }
  return escaped;
}

std::string Utf8Stream::Finish() {
  std::string out;
  if (!held_.empty()) Emit(held_, false, out);
  held_.clear();
  return out;
}

}  // namespace linnet

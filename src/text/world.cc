#include "text/world.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <unordered_set>
#include <utility>

#include "base/check.h"
#include "text/utf8.h"

namespace linnet {
namespace {

/// Reads a Python literal; `rest` is what is left of the line.
class LiteralReader {
 public:
  explicit LiteralReader(std::string_view rest) : rest_(rest) {}

  /// Its bytes, or nothing if there is no literal or something follows it.
  std::optional<std::string> Read() {
    if (rest_.starts_with('b')) {
      is_bytes_ = true;
      rest_.remove_prefix(1);
    }
    if (rest_.empty() || (rest_[0] != '\'' && rest_[0] != '"')) return std::nullopt;
    const char quote = rest_[0];
    rest_.remove_prefix(1);
    while (!rest_.empty() && rest_[0] != quote) {
      if (!(rest_[0] == '\\' ? ReadEscape() : ReadCharacter())) return std::nullopt;
    }
    if (rest_.size() != 1) return std::nullopt;  // the closing quote, and nothing after it
    return std::move(out_);
  }

 private:
  bool ReadCharacter() {
    const Character character = FirstCharacter(rest_);
    if (!character.valid || (is_bytes_ && character.length > 1)) return false;
    out_ += rest_.substr(0, character.length);
    rest_.remove_prefix(character.length);
    return true;
  }

  bool ReadEscape() {
    constexpr std::string_view kLetters = "\\'\"abfnrtv", kMeanings = "\\'\"\a\b\f\n\r\t\v";
    rest_.remove_prefix(1);
    if (rest_.empty()) return false;
    const char letter = rest_[0];
    if (const size_t at = kLetters.find(letter); at != std::string_view::npos) {
      rest_.remove_prefix(1);
      out_ += kMeanings[at];
      return true;
    }
    if (letter >= '0' && letter <= '7') {
      size_t digits = 1;
      while (digits < 3 && digits < rest_.size() && rest_[digits] >= '0' && rest_[digits] <= '7') ++digits;
      return ReadNumber(digits, 8);
    }
    const size_t digits = letter == 'x' ? 2 : is_bytes_ ? 0 : letter == 'u' ? 4 : letter == 'U' ? 8 : 0;
    if (digits == 0) {
      out_ += '\\';  // what follows is read as the character it is
      return true;
    }
    rest_.remove_prefix(1);
    return ReadNumber(digits, 16);
  }

  bool ReadNumber(size_t digits, int base) {
    if (rest_.size() < digits) return false;
    uint32_t value = 0;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + digits, value, base);
    if (error != std::errc() || end != rest_.data() + digits) return false;
    rest_.remove_prefix(digits);
    if (!is_bytes_) return AppendUtf8(value, out_);
    out_ += static_cast<char>(value);  // Python takes \ooo modulo 256, too
    return true;
  }

  std::string_view rest_;
  bool is_bytes_ = false;
  std::string out_;
};

/// A whole number without a sign.
std::optional<size_t> Number(std::string_view digits) {
  size_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

struct Line {
  size_t id;
  std::string token;
};

Line ParseLine(std::string_view line, const std::string& where) {
  const size_t first = line.find(' '), last = line.rfind(' ');
  Check(first < last && last != std::string_view::npos,
        "{}: a line of a vocabulary is an id, a literal and a length, as in 33155 'Hello' 5", where);
  const auto id = Number(line.substr(0, first)), length = Number(line.substr(last + 1));
  auto token = LiteralReader(line.substr(first + 1, last - first - 1)).Read();
  Check(id && length, "{}: the id or the length is no number", where);
  Check(token.has_value(), "{}: the literal is not one of a Python str or bytes", where);
  Check(token->size() == *length, "{}: the token has {} bytes, but the line says {}", where, token->size(),
        *length);
  Check(*length > 0, "{}: the token is empty", where);
  return {*id, *std::move(token)};
}

/// Without what stands for no text: entry 0, and padding at the end.
std::vector<std::string> TokensWithText(std::vector<std::string> tokens) {
  while (!tokens.empty() && tokens.back().empty()) tokens.pop_back();
  if (!tokens.empty()) tokens[Tokenizer::kEndOfText].clear();
  return tokens;
}

}  // namespace

std::vector<std::string> ParseWorldVocabulary(std::string_view text, const std::string& file) {
  const auto lines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  std::vector<std::string> tokens;
  std::unordered_set<std::string> known;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    const std::string where = fmt::format("{}:{}", file, number);
    Line parsed = ParseLine(line, where);
    // Ids are a table's indices: the table must not be much longer than the file.
    Check(parsed.id > 0 && parsed.id <= 2 * lines + 1024,
          "{}: an id must be at least 1 and cannot be {} in a file of {} lines", where, parsed.id, lines);
    if (parsed.id >= tokens.size()) tokens.resize(parsed.id + 1);
    Check(tokens[parsed.id].empty(), "{}: the id {} is there twice", where, parsed.id);
    Check(known.insert(parsed.token).second, "{}: the token of id {} is there already", where, parsed.id);
    tokens[parsed.id] = std::move(parsed.token);
  }
  return tokens;
}

WorldTokenizer::WorldTokenizer(std::string name, std::vector<std::string> tokens)
    : name_(std::move(name)), tokens_(TokensWithText(std::move(tokens))), trie_(tokens_) {
  for (const std::string& token : tokens_) longest_ = std::max(longest_, token.size());
  for (int byte = 0; byte < 256; ++byte) {
    const char character = static_cast<char>(byte);
    Check(trie_.Longest({&character, 1}).value >= 0,
          "{}: is no vocabulary for every text: no token is the byte 0x{:02X}", name_, byte);
  }
}

size_t WorldTokenizer::EncodeSome(std::string_view bytes, bool more, std::vector<int>& ids) const {
  // A token is certain once the longest one would have fitted.
  const size_t needed = more ? longest_ : 1;
  ids.reserve(ids.size() + bytes.size() / 4);
  size_t at = 0;
  while (bytes.size() - at >= needed) {
    const Trie::Match match = trie_.Longest(bytes.substr(at));
    ids.push_back(match.value);
    at += match.length;
  }
  return at;
}

std::string WorldTokenizer::Decode(std::span<const int> ids) const {
  std::string bytes;
  for (int id : ids) {
    Check(id >= 0 && id < vocab(), "[{}] there is no token {}; ids are 0 to {}", name_, id, vocab() - 1);
    bytes += tokens_[id];
  }
  return bytes;
}

}  // namespace linnet

#include "text/bpe.h"

#include <algorithm>
#include <queue>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "text/gpt2_pieces.h"
#include "text/unicode.h"

namespace linnet {
namespace {

/// The symbols of a piece, a list linked in both directions.
struct SymbolNode {
  int id;
  int before, after;  // -1 at the ends
};

/// A pair of neighbours that could become one symbol. Out of date if either has changed since.
struct Candidate {
  int rank, at;  // at: the left one; of equal ranks the leftmost goes first
  int left, right, merged;
  bool operator<(const Candidate& other) const {  // std::priority_queue takes the largest
    return std::tie(rank, at) > std::tie(other.rank, other.at);
  }
};

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

/// Bytes that no character has. Vocabularies made of text lack them.
bool NeverInUtf8(int byte) { return byte == 0xC0 || byte == 0xC1 || byte >= 0xF5; }

uint64_t PairKey(int left, int right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

}  // namespace

void BpeTokenizer::Cutter::Add(const std::vector<BpeVocabulary::Added>& added, bool normalized, bool nfc) {
  std::vector<std::string> texts;
  for (const BpeVocabulary::Added& token : added) {
    if (token.normalized != normalized || token.text.empty()) continue;
    texts.push_back(normalized && nfc ? Nfc(token.text) : token.text);
    ids.push_back(token.id);
    starts[static_cast<unsigned char>(texts.back()[0])] = true;
  }
  if (!texts.empty()) trie.emplace(texts);
}

template <class OnText, class OnToken>
void BpeTokenizer::Cutter::Cut(std::string_view bytes, const OnText& text, const OnToken& token) const {
  size_t begin = 0;
  for (size_t at = 0; trie && at < bytes.size();) {
    const Trie::Match match =
        starts[static_cast<unsigned char>(bytes[at])] ? trie->Longest(bytes.substr(at)) : Trie::Match{};
    if (match.value < 0) {
      ++at;
      continue;
    }
    if (begin < at) text(bytes.substr(begin, at - begin));
    token(ids[match.value]);
    begin = at += match.length;
  }
  if (begin < bytes.size()) text(bytes.substr(begin));
}

BpeTokenizer::BpeTokenizer(std::string name, BpeVocabulary vocabulary)
    : name_(std::move(name)),
      tokens_(std::move(vocabulary.tokens)),
      special_(tokens_.size()),
      nfc_(vocabulary.nfc) {
  const auto check_id = [&](int id) {
    Check(id >= 0 && id < vocab(), "{}: the id {} lies outside of the {} tokens", name_, id, vocab());
  };
  std::fill(std::begin(of_byte_), std::end(of_byte_), -1);
  for (int id = vocab() - 1; id >= 0; --id) {
    if (tokens_[id].size() == 1) of_byte_[static_cast<unsigned char>(tokens_[id][0])] = id;
  }
  for (int byte = 0; byte < 256; ++byte) {
    Check(of_byte_[byte] >= 0 || NeverInUtf8(byte),
          "{}: is no vocabulary for every text: no token is the byte 0x{:02X}", name_, byte);
  }
  merges_.reserve(vocabulary.merges.size());
  for (const BpeVocabulary::Merge& merge : vocabulary.merges) {
    for (int id : {merge.left, merge.right, merge.merged}) check_id(id);
    merges_.emplace(PairKey(merge.left, merge.right), Joined{static_cast<int>(merges_.size()), merge.merged});
  }
  for (const BpeVocabulary::Added& token : vocabulary.added) {
    check_id(token.id);
    if (token.special) special_[token.id] = true;
    for (size_t at = 1; at < token.text.size(); ++at) {
      if (LastGpt2Border(std::string_view(token.text).substr(0, at + 1)) == at) can_stream_ = false;
    }
  }
  raw_.Add(vocabulary.added, false, nfc_);
  normal_.Add(vocabulary.added, true, nfc_);
}

std::optional<BpeTokenizer::Joined> BpeTokenizer::Join(int left, int right) const {
  const auto found = merges_.find(PairKey(left, right));
  if (found == merges_.end()) return std::nullopt;
  return found->second;
}

std::vector<int> BpeTokenizer::FirstSymbols(std::string_view piece) const {
  std::vector<int> ids;
  ids.reserve(piece.size());
  for (char c : piece) {
    const int id = of_byte_[static_cast<unsigned char>(c)];
    if (id >= 0) {
      ids.push_back(id);
    } else {
      for (char part : kReplacement) ids.push_back(of_byte_[static_cast<unsigned char>(part)]);
    }
  }
  return ids;
}

std::vector<int> BpeTokenizer::EncodePiece(std::string_view piece) const {
  std::vector<int> ids = FirstSymbols(piece);
  const int count = static_cast<int>(ids.size());
  std::vector<SymbolNode> symbols(ids.size());
  std::priority_queue<Candidate> candidates;
  const auto consider = [&](int at) {
    if (at < 0 || symbols[at].after < 0) return;
    const int left = symbols[at].id, right = symbols[symbols[at].after].id;
    if (const auto joined = Join(left, right)) candidates.push({joined->rank, at, left, right, joined->id});
  };
  for (int i = 0; i < count; ++i) symbols[i] = {ids[i], i - 1, i + 1 < count ? i + 1 : -1};
  for (int i = 0; i < count; ++i) consider(i);
  constexpr int kGone = -1;
  while (!candidates.empty()) {
    const Candidate best = candidates.top();
    candidates.pop();
    SymbolNode& left = symbols[best.at];
    if (left.id != best.left || left.after < 0 || symbols[left.after].id != best.right) continue;
    SymbolNode& right = symbols[left.after];
    left.id = best.merged;
    right.id = kGone;
    left.after = right.after;
    if (left.after >= 0) symbols[left.after].before = best.at;
    consider(left.before);
    consider(best.at);
  }
  ids.clear();
  for (int at = count > 0 ? 0 : -1; at >= 0; at = symbols[at].after) ids.push_back(symbols[at].id);
  return ids;
}

void BpeTokenizer::EncodeNormal(std::string_view text, std::vector<int>& ids) const {
  // Texts repeat their words; a piece as long as a line hardly comes again.
  constexpr size_t kLongestKept = 64, kMostKept = 1 << 16;
  Cache cache;
  const auto encode = [&](std::string_view rest) {
    while (!rest.empty()) {
      const std::string_view piece = rest.substr(0, FirstGpt2Piece(rest));
      rest.remove_prefix(piece.size());
      if (const auto known = cache.find(piece); known != cache.end()) {
        ids.insert(ids.end(), known->second.begin(), known->second.end());
        continue;
      }
      std::vector<int> tokens = EncodePiece(piece);
      ids.insert(ids.end(), tokens.begin(), tokens.end());
      if (piece.size() <= kLongestKept && cache.size() < kMostKept) cache.emplace(piece, std::move(tokens));
    }
  };
  normal_.Cut(text, encode, [&](int id) { ids.push_back(id); });
}

size_t BpeTokenizer::EncodeSome(std::string_view bytes, bool more, std::vector<int>& ids) const {
  if (more) bytes = bytes.substr(0, can_stream_ ? LastGpt2Border(bytes) : 0);
  const auto encode = [&](std::string_view text) {
    if (nfc_) {
      EncodeNormal(Nfc(text), ids);
    } else {
      EncodeNormal(text, ids);
    }
  };
  raw_.Cut(bytes, encode, [&](int id) { ids.push_back(id); });
  return bytes.size();
}

std::string BpeTokenizer::Decode(std::span<const int> ids) const {
  std::string bytes;
  for (int id : ids) {
    Check(id >= 0 && id < vocab(), "[{}] there is no token {}; ids are 0 to {}", name_, id, vocab() - 1);
    if (!special_[id]) bytes += tokens_[id];
  }
  return bytes;
}

std::string BpeTokenizer::SpecialName(int id) const {
  return id >= 0 && id < vocab() && special_[id] ? tokens_[id] : "";
}

}  // namespace linnet

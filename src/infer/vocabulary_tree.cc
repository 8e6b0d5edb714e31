#include "infer/vocabulary_tree.h"

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace linnet {

VocabularyTree::VocabularyTree(const Tokenizer& tokenizer) : vocab_(tokenizer.vocab()) {
  texts_.resize(static_cast<size_t>(vocab_));
  std::vector<std::pair<std::string_view, int32_t>> texts;
  for (int id = 0; id < vocab_; ++id) {
    // The end-of-text token ends a text, whatever its bytes are where every byte is a token.
    if (id == Tokenizer::kEndOfText) continue;
    texts_[id] = tokenizer.Decode({&id, 1});
    if (!texts_[id].empty()) texts.emplace_back(texts_[id], id);
  }
  std::sort(texts.begin(), texts.end());
  std::vector<int32_t> path;  // the nodes of the last text
  const auto close = [&](size_t depth) {
    while (path.size() > depth) {
      nodes_[path.back()].end = static_cast<int32_t>(nodes_.size());
      path.pop_back();
    }
  };
  std::string_view last;
  for (const auto& [bytes, id] : texts) {
    Check(bytes.size() <= std::numeric_limits<uint16_t>::max(), "[vocabulary] token {} has {} bytes", id,
          bytes.size());
    size_t shared = 0;
    while (shared < std::min(last.size(), bytes.size()) && last[shared] == bytes[shared]) ++shared;
    close(shared);
    for (size_t i = shared; i < bytes.size(); ++i) {
      path.push_back(static_cast<int32_t>(nodes_.size()));
      nodes_.push_back({static_cast<uint8_t>(bytes[i]), static_cast<uint16_t>(i + 1), 0,
                        static_cast<int32_t>(tokens_.size())});
    }
    tokens_.push_back(id);
    longest_ = std::max(longest_, static_cast<int>(bytes.size()));
    last = bytes;
  }
  close(0);
  nodes_.push_back({0, 0, static_cast<int32_t>(nodes_.size()), static_cast<int32_t>(tokens_.size())});
}

}  // namespace linnet

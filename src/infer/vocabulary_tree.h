// VocabularyTree: the texts of all tokens as a tree of bytes, laid out in the order of a walk, so that a
// search that fails at a node goes on behind everything below it with one jump.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace linnet {

class VocabularyTree {
 public:
  struct Node {
    uint8_t byte;
    uint16_t depth;       // bytes from the root, 1 or more
    int32_t end;          // the first node that is not below this one
    int32_t first_token;  // its tokens are tokens[first_token, that of the next node)
  };

  explicit VocabularyTree(const Tokenizer& tokenizer);

  int vocab() const { return vocab_; }
  int longest() const { return longest_; }  // token, in bytes
  /// Of a token that may be written: empty if it has none, and for the end of a text.
  const std::string& text(int token) const { return texts_[static_cast<size_t>(token)]; }
  /// In the order of their texts; the root is not among them. One more node ends the list.
  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<int32_t>& tokens() const { return tokens_; }
  int32_t size() const { return static_cast<int32_t>(nodes_.size()) - 1; }

 private:
  int vocab_, longest_ = 0;
  std::vector<std::string> texts_;
  std::vector<Node> nodes_;
  std::vector<int32_t> tokens_;
};

}  // namespace linnet

// GrammarMatcher: a grammar and a vocabulary; which tokens may come next where a text stands.
//
// The tokens that fit are found by walking the tree of the vocabulary and the grammar together: a subtree
// whose first bytes do not fit is left out as a whole. Most of what is found holds wherever the same rule is
// read: inside a string of JSON it matters little what is around it. So the tokens that fit are kept for each
// state of a rule, and with them the nodes of the tree at which the rule ends in the middle of tokens; only
// below those, a few hundred, the walk is done again with what the stack says comes after the rule. (The same
// observation is at the heart of XGrammar, Dong et al. 2024.) What came out for a place is kept, too.
#pragma once

#include <memory>
#include <span>

#include "infer/constraint.h"
#include "infer/grammar.h"
#include "infer/vocabulary_tree.h"

namespace linnet {

/// For several threads, as are its constraints as long as each is used by one.
class GrammarMatcher : public std::enable_shared_from_this<GrammarMatcher> {
 public:
  static std::shared_ptr<GrammarMatcher> Make(Grammar grammar,
                                              std::shared_ptr<const VocabularyTree> vocabulary);
  ~GrammarMatcher();

  /// A text that has to fit the grammar, at its beginning.
  std::unique_ptr<Constraint> NewText();
  /// Of tables and masks, about.
  size_t bytes() const;

 private:
  class Text;
  struct Tables;

  GrammarMatcher(Grammar grammar, std::shared_ptr<const VocabularyTree> vocabulary);

  std::unique_ptr<Tables> tables_;
};

}  // namespace linnet

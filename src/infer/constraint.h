// Constraint: what a text that is being generated may look like, told token by token: a grammar, a JSON
// schema, a form of tool calls.
#pragma once

#include <memory>
#include <span>

namespace linnet {

/// Where one text stands in what is allowed. Not for several threads.
class Constraint {
 public:
  virtual ~Constraint() = default;

  /// Sets the logit of each token that must not come next to -infinity; the end-of-text token's, too, unless
  /// the text may end here. At least one token always stays allowed.
  virtual void Mask(std::span<float> logits) const = 0;
  /// Takes note of the token that was drawn. Throws Error if it was not allowed.
  virtual void Accept(int token) = 0;
  /// Whether nothing but the end may come next.
  virtual bool ended() const = 0;
  /// A constraint that goes on from the same place.
  virtual std::unique_ptr<Constraint> Clone() const = 0;
};

}  // namespace linnet

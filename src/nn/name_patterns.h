// Patterns over the names of parameters: "att.*,ffn.key".
//
// '*' stands for any characters, '?' for one. A pattern may leave out the block ("blocks.3.") in front and
// ".weight" at the end, so that "att.key" means blocks.0.att.key.weight, blocks.1.att.key.weight and so on.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace linnet {

class NamePatterns {
 public:
  /// Reads patterns separated by commas. `flag` is what messages call them. Throws Error if one is empty.
  NamePatterns(std::string flag, std::string_view text);

  bool Match(std::string_view name) const;
  /// Throws Error, naming the flag and the pattern and listing names that are near it, if a pattern matches
  /// none of `names`.
  void CheckAllMatch(const std::vector<std::string>& names) const;

 private:
  std::string flag_;
  std::vector<std::string> patterns_;
};

}  // namespace linnet

// Vocabularies for tests of what tokens may come next.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/world.h"

namespace linnet {

/// All bytes, and then `words`, as tokens; 0 ends a text.
inline WorldTokenizer Words(const std::vector<std::string>& words) {
  std::vector<std::string> tokens{""};
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  tokens.insert(tokens.end(), words.begin(), words.end());
  return WorldTokenizer("words", std::move(tokens));
}

}  // namespace linnet

// How GPT-2 cuts a text into pieces before byte-pair encoding; no token reaches across a cut. The rule is the
// regular expression
//     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// (openai/gpt-2, encoder.py): short endings after an apostrophe; runs of letters, of numbers or of other
// characters, each with a space before it; runs of white space but for the last before a visible character.
// A byte that is no UTF-8 counts as one of the other characters.
#pragma once

#include <cstddef>
#include <string_view>

namespace linnet {

/// The length in bytes of the first piece of `text`, which must not be empty.
size_t FirstGpt2Piece(std::string_view text);

/// A place in `text` where it can be cut so that both parts have the pieces that the whole has, whatever
/// follows it: as far back as possible, before a space, tab or line end that a visible character precedes. 0
/// if there is none.
size_t LastGpt2Border(std::string_view text);

}  // namespace linnet

// What the fuzzers of the tokenizers do with an input; shared with the test that runs the corpus without a
// fuzzer.
#pragma once

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "text/tokenizer_files.h"
#include "text/tokenizer_json.h"
#include "text/unicode.h"
#include "text/world.h"

namespace linnet {

/// Stops the program, which a fuzzer reports, unless `ok`.
inline void Hold(bool ok) {
  if (!ok) std::abort();
}

/// The tokens of `text`, which must not depend on whether it comes whole or in pieces of `size` bytes.
inline std::vector<int> EncodedAnyhow(const Tokenizer& tokenizer, std::string_view text, size_t size) {
  std::vector<int> ids;
  std::string held;
  for (size_t at = 0; at <= text.size(); at += size) {
    held += text.substr(at, size);
    held.erase(0, tokenizer.EncodeSome(held, at + size <= text.size(), ids));
  }
  Hold(held.empty() && ids == tokenizer.Encode(text));
  return ids;
}

/// A vocabulary file. If it is one, it must encode itself and get it back.
inline void FuzzWorldVocabulary(std::string_view input) {
  try {
    const WorldTokenizer tokenizer("input", ParseWorldVocabulary(input, "input"));
    Hold(tokenizer.Decode(EncodedAnyhow(tokenizer, input, 7)) == input);
  } catch (const Error&) {  // the one exception that a bad file may cause
  }
}

inline void FuzzTokenizerJson(std::string_view input) {
  try {
    const auto tokenizer = ParseTokenizerJson(input, "input", "input");
    tokenizer->Decode(EncodedAnyhow(*tokenizer, input, 7));
  } catch (const Error&) {
  }
}

/// A text, for sound vocabularies: it must come back, from byte-level BPE in normal form.
inline void FuzzEncoding(std::string_view input) {
  static const WorldTokenizer world("world", ParseWorldVocabulary(SmallWorld(400), "world"));
  static const auto bpe = [] {
    nlohmann::json file =
        SmallBpe({{"a", "b"}, {"Ġ", "a"}, {"ab", "ab"}, {"Ã", "©"}, {"Ġ", "Ġ"}, {"0", "0"}});
    file["added_tokens"] = {AddedToken(262, "  ", false, true), AddedToken(263, "   ", false, true)};
    return ParseTokenizerJson(file.dump(), "bpe", "bpe");
  }();
  const size_t size = input.empty() ? 1 : 1 + static_cast<unsigned char>(input[0]) % 16;
  Hold(world.Decode(EncodedAnyhow(world, input, size)) == input);
  const std::string normal = Nfc(input);
  Hold(Nfc(normal) == normal);
  Hold(bpe->Decode(EncodedAnyhow(*bpe, input, size)) == normal);
}

}  // namespace linnet

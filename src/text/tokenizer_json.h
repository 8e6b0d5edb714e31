// tokenizer.json, the file of Hugging Face's `tokenizers` library, as far as it describes byte-level BPE the
// way GPT-2 and GPT-NeoX do: no normaliser or NFC, the pre-tokeniser and decoder "ByteLevel", a model "BPE".
// What asks for anything else is refused by name. What the file says about truncation, padding and tokens put
// around a text (post_processor) is left to whoever calls.
//
// The file writes each byte of a token as one character: printable ones of Latin-1 as themselves, the others,
// in order, as U+0100, U+0101, ... (openai/gpt-2, encoder.py): a space is U+0120.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "text/tokenizer.h"

namespace linnet {

/// `file` is what messages call the text, `name` what the tokenizer is called. Throws Error, starting with
/// `file`, if the text is malformed or asks for what linnet lacks.
std::unique_ptr<Tokenizer> ParseTokenizerJson(std::string_view text, const std::string& file,
                                              const std::string& name);

}  // namespace linnet

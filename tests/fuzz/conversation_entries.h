// What the fuzzer of saved conversations does with an input; shared with the test that runs the corpus
// without a fuzzer.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <span>
#include <string>

#include "base/check.h"
#include "infer/conversation.h"

namespace linnet {

/// A conversation that was read is the same when it is written and read again.
inline void FuzzConversation(const LoadedModel& model, const Tokenizer& tokenizer,
                             std::span<const std::byte> input) {
  const auto read = [&](const std::string& text) {
    return Conversation::FromJson(model, tokenizer, "input", text, {}).ToJson();
  };
  try {
    const std::string written = read({reinterpret_cast<const char*>(input.data()), input.size()});
    if (read(written) != written) std::abort();
  } catch (const Error&) {  // the one exception that a bad file may cause
  }
}

}  // namespace linnet

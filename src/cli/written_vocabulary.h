// The vocabulary that a GGUF is written with.
#pragma once

#include <string>
#include <vector>

#include "nn/model.h"

namespace linnet {

/// Whether the model's tokens are bytes, by its own metadata.
bool IsOfBytes(const LoadedModel& model);

/// The bytes of each token of the model in the file `source`, by id: those in the file if it holds any and no
/// `tokenizer` is named, else those of the named tokenizer or of the model's. Throws Error where that is not
/// one which takes the longest token each time, as llama.cpp does.
std::vector<std::string> VocabularyToWrite(const LoadedModel& model, const std::string& source,
                                           const std::string& tokenizer);

}  // namespace linnet

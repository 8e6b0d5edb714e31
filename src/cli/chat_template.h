// Which chat template a command uses: the one that was asked for, or else the model's own.
#pragma once

#include <string>

#include "nn/model.h"
#include "text/chat.h"
#include "text/tokenizer.h"

namespace linnet {

/// `wanted`: a name, or empty. `path`: the model's file. Throws Error if the template is not known.
const ChatTemplate& ChatTemplateFor(const std::string& wanted, const LoadedModel& model,
                                    const Tokenizer& tokenizer, const std::string& path);

}  // namespace linnet

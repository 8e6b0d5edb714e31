// What the commands that score a model have in common.
#pragma once

#include <memory>
#include <string>

#include "cli/model_options.h"

namespace linnet {

/// 0.27512, 14042 examples -> "27.51% (standard error 0.38%)"
std::string ShareText(double share, int64_t count);

/// Adds `eval choices` to `eval`.
void AddEvalChoices(CLI::App& eval);

}  // namespace linnet

// State tuning: the matrices that sequences begin with are what is trained.
#pragma once

#include <filesystem>
#include <vector>

#include "nn/model.h"

namespace linnet {

/// Makes `model`, of the file `path`, begin its sequences with parameters, which are returned:
/// blocks.N.att.time_state [H, value, key], with the values that a checkpoint `saved` or, where that is
/// empty, what the model itself begins with. In training only, where a state is in mode kKeepInitial. Throws
/// Error if the architecture has no matrices as states.
std::vector<Parameter> TuneStates(LoadedModel& model, const std::filesystem::path& path,
                                  const std::filesystem::path& saved);

}  // namespace linnet

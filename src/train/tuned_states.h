// State tuning: the matrices that sequences begin with are what is trained.
#pragma once

#include <filesystem>
#include <vector>

#include "nn/model.h"
#include "nn/state_file.h"

namespace linnet {

/// Makes `model`, of the file `path`, begin its sequences with parameters, which are returned:
/// blocks.N.att.time_state [H, value, key], with the values that a checkpoint `saved` or, where that is
/// empty, what the model itself begins with. In training only, where a state is in mode kKeepInitial. Throws
/// Error if the architecture has no matrices as states.
std::vector<Parameter> TuneStates(LoadedModel& model, const std::filesystem::path& path,
                                  const std::filesystem::path& saved);

/// While in scope with true, the states that this thread's passes are given are those that chunks before have
/// left: tuned initial values leave them alone.
class StatesGoOn {
 public:
  explicit StatesGoOn(bool go_on);
  ~StatesGoOn();
  StatesGoOn(const StatesGoOn&) = delete;
  StatesGoOn& operator=(const StatesGoOn&) = delete;

  static bool InForce();

 private:
  bool outer_;
};

/// Where texts begin with these parameters' present values: for generation, whose states are its own.
Snapshot TunedBeginning(const LoadedModel& model, const std::vector<Parameter>& parameters);

}  // namespace linnet

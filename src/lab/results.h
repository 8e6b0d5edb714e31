// Results of runs as JSON, in files and in the report.
#pragma once

#include <string>

#include "lab/compare.h"

namespace linnet::lab {

std::string ToJson(const RunResult& result);
/// What ToJson(RunResult) made. Throws Error, naming `where`, if it did not.
RunResult ParseRunResult(const std::string& json, const std::string& where);

}  // namespace linnet::lab

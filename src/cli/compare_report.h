// What a comparison has found, as a table and as pictures.
#pragma once

#include <filesystem>
#include <string>

#include "lab/compare.h"

namespace linnet {

/// A line for each architecture, in the order in which they were named.
std::string ComparisonTable(const lab::Comparison& comparison);

/// Writes by-tokens.svg and by-seconds.svg, the quality on the validation part of every run as it went on,
/// and by-state.svg, that on the test part over the bytes of state.
void WriteComparisonCharts(const lab::Comparison& comparison, const std::filesystem::path& folder);

}  // namespace linnet

// The commands of the lab: its tasks, comparisons on them, and explanations with numbers.
#pragma once

#include <CLI/CLI.hpp>

namespace linnet {

void AddTask(CLI::App& app);
void AddCompare(CLI::App& app);
void AddExplain(CLI::App& app);
void AddExplainSpikes(CLI::App& explain);
void AddExplainUnrolled(CLI::App& explain);

}  // namespace linnet

// The commands of the program. Each Add function lives in the file of its name and adds one subcommand: its
// options, an example, and a callback that does the work and throws Error if it cannot.
#pragma once

#include <CLI/CLI.hpp>

namespace linnet {

void AddTrain(CLI::App& app);
void AddData(CLI::App& app);
void AddGenerate(CLI::App& app);
void AddChat(CLI::App& app);
void AddLogits(CLI::App& app);
void AddInfo(CLI::App& app);
void AddBench(CLI::App& app);
void AddDoctor(CLI::App& app);
void AddState(CLI::App& app);
void AddTokenize(CLI::App& app);
void AddConvert(CLI::App& app);
void AddEval(CLI::App& app);
void AddEmbed(CLI::App& app);
void AddPlot(CLI::App& app);
void AddDemo(CLI::App& app);
void AddMerge(CLI::App& app);
void AddServe(CLI::App& app);

}  // namespace linnet

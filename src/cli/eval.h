// What the commands that score a model have in common.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "cli/model_options.h"
#include "infer/datasets.h"

namespace linnet {

/// What the files given as --text hold: each a document, but of .jsonl files the "text" of every line.
struct Documents {
  std::vector<MappedFile> files;
  std::vector<TextLine> lines;
  std::vector<std::string_view> texts;  // all of them, in files and lines

  explicit Documents(const std::vector<std::string>& names);
};

/// Adds --text, which names `files`, to a command.
void AddTextOption(CLI::App& command, std::vector<std::string>& files);

/// 0.27512, 14042 examples -> "27.51% (standard error 0.38%)"
std::string ShareText(double share, int64_t count);

/// Adds `eval choices` to `eval`.
void AddEvalChoices(CLI::App& eval);
/// Adds `eval answers` to `eval`.
void AddEvalAnswers(CLI::App& eval);

}  // namespace linnet

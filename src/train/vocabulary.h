// The vocabulary of a run: which tokenizer made its data, and so what its model's file has to name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "train/data.h"
#include "train/options.h"

namespace linnet {

struct Vocabulary {
  std::string name;            // of the tokenizer, as the metadata of models have it
  int64_t ids = 0;             // that it has
  std::filesystem::path file;  // where it was read from; "" for bytes, and if a model's file holds it

  /// Puts a copy of the file into `folder`, unless it is there, where whoever opens a model in it looks
  /// first.
  void KeepIn(const std::filesystem::path& folder) const;
};

/// The tokenizer that the options name or, for a run that starts from another model's weights and names none,
/// that model's. Resuming finds it in the run's own folder. The options get its name and, for a fresh model,
/// the size of the vocabulary. Throws Error if there is no such tokenizer, or the size is too small for it.
Vocabulary CompleteVocabulary(TrainOptions& options, const std::filesystem::path& folder);

/// How a run with these options reads its data.
DataOptions DataOptionsOf(const TrainOptions& options, const Vocabulary& vocabulary);

}  // namespace linnet

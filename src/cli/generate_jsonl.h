// linnet generate --jsonl: many prompts from a file, several at a time.
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>
#include <optional>
#include <string>

#include "infer/generator.h"

namespace linnet {

struct JsonlOptions {
  std::string in, out;
  int batch = 8;

  /// Adds --jsonl, which is returned, --out and --batch.
  CLI::Option* AddTo(CLI::App& command);
};

/// Continues the prompts of the file `options.in` and writes `options.out`; docs/batch.md describes both, and
/// what is left in OUT.partial when it is interrupted, to be continued by the next call. `defaults` holds for
/// what a line does not say. `seed`: of the whole, from which those of the lines are derived; random if not
/// given. `model_file` tells one model's unfinished work from another's. False if it was interrupted. Throws
/// Error, naming the line, before anything is generated if one makes no sense.
bool GenerateJsonl(const LoadedModel& model, const std::string& model_file, const Tokenizer& tokenizer,
                   const JsonlOptions& options, const GenerateOptions& defaults, std::optional<uint64_t> seed,
                   const std::atomic<bool>& interrupted);

}  // namespace linnet

// What every command that runs a model has in common: the file, the arithmetic, the threads; and a line that
// says how far it is.
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "nn/model.h"
#include "nn/state_file.h"
#include "ops/adapters.h"
#include "text/tokenizer.h"

namespace linnet {

struct ModelOptions {
  std::string path;
  std::string precision = "default";
  std::string tokenizer;  // name or file; empty: the one that belongs to the model
  int threads = 0;        // 0: one a physical core
  Dim context = 0;        // tokens that attention remembers; 0: as many as the architecture does by itself
  Dim bits = 0;           // of a symbol of ROSA; 0: 1, as in most
  std::vector<std::string> loras;  // FILE or FILE:FACTOR

  void AddTo(CLI::App& command);
  /// Sets the threads; says so on stderr if there are fewer cores than were asked for.
  void ApplyThreads() const;
  /// Sets the threads and loads the model, with its LoRAs. Says on stderr what the user should know about
  /// them.
  LoadedModel Load() const;
  /// The tokenizer asked for, or else the model's own.
  std::unique_ptr<Tokenizer> OpenTokenizer(const LoadedModel& model) const;
};

/// The adapters of LoRAs (FILE or FILE:FACTOR) to a model. Says on stderr what the user should know about
/// them.
std::shared_ptr<const Adapters> ReadAdapters(const std::vector<std::string>& loras, const LoadedModel& model);

/// The state in a file, to go on from (--state-in). Says on stderr what the user should know about it.
Snapshot ReadStateIn(const std::string& path, const LoadedModel& model, const Tokenizer& tokenizer);

/// The tokenizer of a model that was loaded from `path` (see TokenizerOf): `wanted`, a name or a file, or, if
/// that is empty, the one that is in the model's file or lies around it. Throws Error if there is none that
/// fits.
std::unique_ptr<Tokenizer> OpenTokenizer(const LoadedModel& model, const std::string& path,
                                         const std::string& wanted = "");

/// A line on stderr, rewritten in place, for work that takes longer than a second. Silent unless stderr is a
/// terminal.
class Progress {
 public:
  /// `what` is being done: "reading the prompt", to so many of `units`.
  explicit Progress(std::string what, std::string units = "tokens")
      : what_(std::move(what)), units_(std::move(units)) {}
  ~Progress() { Clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Update(int64_t done, int64_t total);
  /// Removes the line.
  void Clear();

 private:
  std::string what_, units_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now(), shown_{};
  bool visible_ = false;
};

}  // namespace linnet

// StateFolder: places in texts on disk, to outlive the server: state files (nn/state_file.h) named after the
// hash of their keys, each with a checksum. A file that is cut short, damaged, or another model's is not used
// and goes.
//
// Files appear whole or not at all (AtomicFile); what a killed server left of one is removed. Several servers
// may share a folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "nn/state_file.h"

namespace linnet {

/// For several threads.
class StateFolder {
 public:
  /// Files lie in a folder of the model's own below `folder`, which is made if need be, and take at most
  /// `limit` bytes. The model must outlive this. Throws Error if the folder cannot be made.
  StateFolder(const std::filesystem::path& folder, const LoadedModel& model, std::string tokenizer,
              int64_t limit);

  bool Has(const std::string& key) const;
  /// Nothing if it is not there or not sound.
  std::optional<Snapshot> Read(const std::string& key);
  /// Removes what was used longest ago, if need be. Throws Error if that fails.
  void Write(const std::string& key, const Snapshot& place);

  int64_t bytes() const;
  const std::filesystem::path& path() const { return path_; }

 private:
  struct File {
    std::string name;
    int64_t bytes;
  };

  void Scan();
  void Touch(const std::string& name);
  void Add(const std::string& name, int64_t bytes);
  void Forget(const std::string& name);

  const LoadedModel& model_;
  std::string tokenizer_;
  std::filesystem::path path_;
  int64_t limit_;

  mutable std::mutex mutex_;
  int64_t bytes_ = 0;
  std::list<File> files_;  // the one used last first
  std::unordered_map<std::string, std::list<File>::iterator> found_;
};

/// Tells models apart for whom a state means different things: unlike Fingerprint(), by their matrices, too,
/// of which it takes samples.
std::string ModelKey(const LoadedModel& model);

/// Samples of a tensor's values.
uint64_t SampleHash(const Tensor& tensor, uint64_t before);

}  // namespace linnet

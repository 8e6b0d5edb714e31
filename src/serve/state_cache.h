// StateCache: places in texts that are worth going on from, each under a key that stands for all before it.
// Those used last stay in memory.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "nn/state_file.h"
#include "serve/engine.h"

namespace linnet {

/// Tells variants apart, by their names and what they contain: a file may change behind its name.
std::string VariantKey(const Variant& variant, const LoadedModel& model);

/// For several threads.
class StateCache {
 public:
  explicit StateCache(int64_t bytes) : limit_(bytes) {}

  /// Null if it is not in memory, or without the logits that are asked for.
  std::shared_ptr<const Snapshot> Find(const std::string& key, bool with_logits);
  void Put(const std::string& key, std::shared_ptr<const Snapshot> place);

  int64_t bytes() const;
  int64_t entries() const;

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<const Snapshot> place;
    int64_t bytes;
  };

  mutable std::mutex mutex_;
  int64_t limit_, bytes_ = 0;
  std::list<Entry> entries_;  // the one used last first
  std::unordered_map<std::string, std::list<Entry>::iterator> found_;
};

}  // namespace linnet

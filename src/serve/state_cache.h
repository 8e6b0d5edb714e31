// StateCache: places in texts that are worth going on from, each under a key that stands for all before it.
// Those used last stay in memory; what leaves it goes to a folder, if there is one, and so does at the end
// all that has not gone there. Files are read and written on a thread of the cache's own.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>

#include "serve/engine.h"
#include "serve/state_folder.h"

namespace linnet {

/// Tells variants apart, by their names and by samples of what they contain: a file may change behind its
/// name.
std::string VariantKey(const Variant& variant, const LoadedModel& model);

/// For several threads.
class StateCache {
 public:
  using Place = std::shared_ptr<const Snapshot>;

  /// At most `bytes` of places in memory. `folder` may be null.
  StateCache(int64_t bytes, std::unique_ptr<StateFolder> folder);
  /// Writes to the folder what is not there yet.
  ~StateCache();

  /// Null if it is not in memory, or without the logits that are asked for.
  Place Find(const std::string& key, bool with_logits);
  /// Whether it is worth asking for with Load().
  bool OnDisk(const std::string& key) const { return folder_ && folder_->Has(key); }
  /// Reads a place from the folder into memory; `done` gets it, or null, on the cache's thread.
  void Load(std::string key, std::function<void(Place place)> done);
  void Put(const std::string& key, Place place);
  /// Takes it out of memory.
  void Forget(const std::string& key);

  int64_t bytes() const;
  int64_t entries() const;

 private:
  struct Entry {
    std::string key;
    Place place;
    int64_t bytes;
  };
  struct Loading {
    std::string key;
    std::function<void(Place place)> done;
  };

  void Insert(const std::string& key, Place place);
  void Erase(const std::string& key);
  void Run();
  Place Fetch(const std::string& key);
  void WriteOut(const std::string& key, const Snapshot& place);

  const int64_t limit_;
  const std::unique_ptr<StateFolder> folder_;

  mutable std::mutex mutex_;
  std::condition_variable work_;
  int64_t bytes_ = 0, leaving_bytes_ = 0;
  std::list<Entry> entries_;  // the one used last first
  std::unordered_map<std::string, std::list<Entry>::iterator> found_;
  std::deque<Entry> leaving_;  // to be written
  std::deque<Loading> loading_;
  bool stopping_ = false;
  std::thread thread_;  // if there is a folder
};

}  // namespace linnet

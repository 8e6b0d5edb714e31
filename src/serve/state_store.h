// StateStore: conversations that outlive their requests, each a state of constant size with what was said.
// The embedded one is a SQLite file; redis shares them among several servers.
//
// A write is all or nothing: whatever happens in the middle of it, the store holds the old state or the new.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nn/state_file.h"

namespace linnet {

/// A stored conversation, without its state.
struct StoredState {
  std::string id;        // "resp_...", "state_..."
  std::string client;    // whose it is (HttpRequest); nobody else sees it
  std::string parent;    // the id of what it goes on from; "" if nothing
  std::string title;     // for people
  std::string messages;  // JSON, as the API that made it wrote it: [{"role", "content"}, ...]
  std::string variant;   // JSON: {"lora": name, "state": name}
  std::string key;       // of the place, for the cache (Mark::key)
  int64_t created = 0;   // seconds since 1970
  int64_t tokens = 0;    // that the state has seen
  int64_t bytes = 0;     // of the state
};

/// For several threads.
class StateStore {
 public:
  virtual ~StateStore() = default;

  /// Puts a state, in place of one of that client and id. Throws Error if that failed.
  virtual void Put(const StoredState& stored, const Snapshot& snapshot) = 0;
  /// Nothing if that client has no such state.
  virtual std::optional<StoredState> Find(const std::string& client, const std::string& id) = 0;
  virtual std::optional<Snapshot> Load(const std::string& client, const std::string& id) = 0;
  /// Newest first.
  virtual std::vector<StoredState> List(const std::string& client, int limit) = 0;
  /// Whether there was one.
  virtual bool Remove(const std::string& client, const std::string& id) = 0;
};

/// Opens a store of states of one model: "" keeps them in memory, "redis://HOST:PORT/DB" there, anything else
/// is a SQLite file, made if need be. `fingerprint` (nn/state_file.h) tells models apart: states of another
/// model are not seen. Throws Error naming the place and what to do.
std::unique_ptr<StateStore> OpenStateStore(const std::string& place, const std::string& fingerprint);

}  // namespace linnet

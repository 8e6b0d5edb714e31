// StateStore: conversations that outlive their requests, each turn a state of constant size with what was
// said in it. The embedded one is a SQLite file; redis shares them among several servers.
//
// A state never changes; a conversation goes on by a new one that names the last as its parent. What moves
// along is a session: a name for the newest state of a conversation.
//
// A write is all or nothing: whatever happens in the middle of it, the store holds the old state or the new.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nn/state_file.h"

namespace linnet {

/// A stored turn of a conversation, without its state.
struct StoredState {
  std::string id;        // "resp_...", "state_..."
  std::string client;    // whose it is (HttpRequest); nobody else sees it
  std::string parent;    // the id of what it goes on from; "" if nothing
  std::string session;   // the name that moved to it when it was put; "" if none
  std::string title;     // for people
  std::string messages;  // JSON: what was said in this turn, [{"role", "content"}, ...]
  std::string variant;   // JSON: {"lora": name, "state": name}
  std::string key;       // of the place, for the cache (Mark::key)
  std::string reply;     // JSON: the object that the API gave for it, if it may be asked for again
  int64_t created = 0;   // seconds since 1970
  int64_t tokens = 0;    // that the state has seen
  int64_t bytes = 0;     // of the state
};

/// For several threads. All functions throw Error, naming the place, if the store fails or what it holds is
/// damaged.
class StateStore {
 public:
  virtual ~StateStore() = default;

  /// Puts a state, in place of one of that client and id, and moves the session, if it names one, to it.
  /// Where that makes too much, the states of that client that were put first go.
  virtual void Put(const StoredState& stored, const Snapshot& snapshot) = 0;
  /// Nothing if that client has no such state.
  virtual std::optional<StoredState> Find(const std::string& client, const std::string& id) = 0;
  virtual std::optional<Snapshot> Load(const std::string& client, const std::string& id) = 0;
  /// Those that were put last come first.
  virtual std::vector<StoredState> List(const std::string& client, int limit) = 0;
  /// Whether there was one.
  virtual bool Remove(const std::string& client, const std::string& id) = 0;

  /// The id of the state that a session stands at, which may have been removed; "" if there is no such
  /// session.
  virtual std::string Session(const std::string& client, const std::string& name) = 0;
  /// Moves a session to a state; "" forgets it.
  virtual void SetSession(const std::string& client, const std::string& name, const std::string& id) = 0;
};

/// What the states of one client may take, unless it was told otherwise.
inline constexpr int64_t kClientStoreBytes = int64_t{4} << 30;

/// Opens a store of states of one model: "" keeps them in memory,
/// "redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]" there, anything else is a SQLite file, made if need be.
/// `fingerprint` (nn/state_file.h) tells models apart: states of another model are not seen. Throws Error
/// naming the place and what to do.
std::unique_ptr<StateStore> OpenStateStore(const std::string& place, const std::string& fingerprint,
                                           int64_t client_bytes = kClientStoreBytes);

}  // namespace linnet

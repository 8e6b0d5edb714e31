#include "serve/state_store.h"

#include <map>
#include <mutex>

#include "serve/snapshot_bytes.h"
#include "serve/stores.h"

namespace linnet {
namespace {

class MemoryStore : public StateStore {
 public:
  explicit MemoryStore(int64_t client_bytes) : client_bytes_(client_bytes) {}

  void Put(const StoredState& stored, const Snapshot& snapshot) override {
    const std::lock_guard lock(mutex_);
    Client& client = clients_[stored.client];
    Erase(client, stored.id);
    const int64_t number = ++puts_;
    client.ids[stored.id] = number;
    client.states[number] = {stored, snapshot};
    if (!stored.session.empty()) client.sessions[stored.session] = stored.id;
    const auto most = MostStates(client_bytes_, static_cast<size_t>(SnapshotBytes(snapshot)));
    while (static_cast<int64_t>(client.states.size()) > most)
      Erase(client, client.states.begin()->second.stored.id);
  }

  std::optional<StoredState> Find(const std::string& client, const std::string& id) override {
    const std::lock_guard lock(mutex_);
    const Entry* entry = EntryOf(client, id);
    return entry ? std::optional(entry->stored) : std::nullopt;
  }

  std::optional<Snapshot> Load(const std::string& client, const std::string& id) override {
    const std::lock_guard lock(mutex_);
    const Entry* entry = EntryOf(client, id);
    return entry ? std::optional(entry->snapshot) : std::nullopt;
  }

  std::vector<StoredState> List(const std::string& client, int limit) override {
    const std::lock_guard lock(mutex_);
    std::vector<StoredState> list;
    const auto& states = clients_[client].states;
    for (auto at = states.rbegin(); at != states.rend() && static_cast<int>(list.size()) < limit; ++at)
      list.push_back(at->second.stored);
    return list;
  }

  bool Remove(const std::string& client, const std::string& id) override {
    const std::lock_guard lock(mutex_);
    return Erase(clients_[client], id);
  }

  std::string Session(const std::string& client, const std::string& name) override {
    const std::lock_guard lock(mutex_);
    const auto& sessions = clients_[client].sessions;
    const auto found = sessions.find(name);
    return found == sessions.end() ? "" : found->second;
  }

  void SetSession(const std::string& client, const std::string& name, const std::string& id) override {
    const std::lock_guard lock(mutex_);
    if (id.empty()) {
      clients_[client].sessions.erase(name);
    } else {
      clients_[client].sessions[name] = id;
    }
  }

 private:
  struct Entry {
    StoredState stored;
    Snapshot snapshot;  // shares its tensors, which nobody writes to any more
  };
  struct Client {
    std::map<int64_t, Entry> states;  // in the order in which they were put
    std::map<std::string, int64_t> ids;
    std::map<std::string, std::string> sessions;
  };

  const Entry* EntryOf(const std::string& client, const std::string& id) {
    const Client& all = clients_[client];
    const auto found = all.ids.find(id);
    return found == all.ids.end() ? nullptr : &all.states.at(found->second);
  }

  static bool Erase(Client& client, const std::string& id) {
    const auto found = client.ids.find(id);
    if (found == client.ids.end()) return false;
    client.states.erase(found->second);
    client.ids.erase(found);
    return true;
  }

  const int64_t client_bytes_;
  std::mutex mutex_;
  int64_t puts_ = 0;
  std::map<std::string, Client> clients_;
};

}  // namespace

std::unique_ptr<StateStore> OpenMemoryStore(int64_t client_bytes) {
  return std::make_unique<MemoryStore>(client_bytes);
}

std::unique_ptr<StateStore> OpenStateStore(const std::string& place, const std::string& fingerprint,
                                           int64_t client_bytes) {
  if (place.empty()) return OpenMemoryStore(client_bytes);
  if (place.starts_with("redis://")) return OpenRedisStore(place, fingerprint, client_bytes);
  const size_t scheme = place.find("://");
  Check(scheme == std::string::npos, "{}://...: is no place for states; name a file, or redis://HOST:PORT/DB",
        place.substr(0, scheme));
  return OpenSqliteStore(place, fingerprint, client_bytes);
}

}  // namespace linnet

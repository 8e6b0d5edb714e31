// Conversations: what all APIs that go on with stored conversations have in common. They find where one
// stands, have its next turn written from there, whatever its length, and keep where that ends.
//
// Only the messages of its own turn are stored with a state; those before are found through its parents.
//
// States that were put or loaded last stay in memory: a state never changes, so the store is only asked
// whether it is still there.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "serve/chat_request.h"
#include "serve/http.h"
#include "serve/state_cache.h"
#include "serve/state_store.h"

namespace linnet {

/// One turn of a stored conversation: what it goes on from, and what will be kept of it.
struct Turn {
  StoredState stored;
  std::string system;                 // a hash of the system messages that the conversation began with
  std::vector<ChatMessage> messages;  // of this turn, without the answer
  int64_t tokens_before = 0;          // that the model has seen in what this goes on from
  std::string key_before;             // Mark::key of that; "" at the beginning
  std::function<std::string(const std::string& answer)> key_after;  // Job's
};

class Conversations {
 public:
  /// `store` must outlive this. At most `recent_bytes` of states stay in memory.
  explicit Conversations(StateStore& store, int64_t recent_bytes = int64_t{128} << 20);
  /// Does what was asked for before.
  ~Conversations();
  Conversations(const Conversations&) = delete;
  Conversations& operator=(const Conversations&) = delete;

  /// A handler that runs on a thread of its own, which may wait for the store.
  HttpHandler Later(HttpHandler handler);

  /// These wait for the store; they throw HttpError 503 if it fails.
  ///
  /// A state by its id, or that of a session by the session's name. Throws HttpError 404 if there is none;
  /// `param` is the field that names it.
  StoredState Find(const std::string& client, const std::string& name, const std::string& param = "");
  std::optional<StoredState> FindIfAny(const std::string& client, const std::string& id);
  /// Where the session stands that a request's field `session` names; nothing if it is new. Throws HttpError
  /// 400 if that is no name for one.
  std::optional<StoredState> FindSession(const std::string& client, const Fields& fields);
  std::shared_ptr<const Snapshot> Load(const StoredState& stored);
  std::vector<StoredState> List(const std::string& client, int limit);
  /// What the state's turn goes on from, `turns` turns before it. Throws HttpError 400 if it has not so many,
  /// 404 if one of them was removed.
  StoredState Ancestor(const StoredState& stored, int64_t turns);
  /// All messages up to a state, [{"role", "content"}, ...], as far as its parents are still there, and no
  /// more than `turns` turns of them.
  Json Messages(const StoredState& stored, size_t turns = 100'000);
  void Put(const StoredState& stored, const std::shared_ptr<const Snapshot>& snapshot);
  void Remove(const StoredState& stored);
  void SetSession(const std::string& client, const std::string& name, const std::string& id);

  /// Begins a turn of `client`'s. `from` is what it goes on from, or null; the LoRA and the state are then
  /// those of `from`, and `fields` may name no others. Sets the job's start and variant.
  Turn Begin(const std::string& client, const StoredState* from, const Fields& fields, const Served& served,
             Job& job);
  /// Makes the messages of a turn the prompt of its job, whose place will be kept.
  /// Of system messages at their beginning those are left out that the conversation began with.
  static void SetMessages(Turn& turn, std::vector<ChatMessage> messages, const ThinkForm& think,
                          const Served& served, Job& job);
  /// The turn of a chat whose request names a `session`: its messages go on from where that stands, but for
  /// those that it has already. `request` is the body that `chat` was read from. Throws HttpError 400 if the
  /// messages cannot be a turn.
  Turn BeginSession(const Json& request, const Served& served, ChatRequest& chat);

  /// Keeps a turn that was answered, later, on another thread, and calls `then` with whether that went well
  /// (if not, stderr says why). `answer` is what the client saw, `place` the job's.
  void Keep(Turn turn, const std::string& answer, std::shared_ptr<const Snapshot> place,
            std::function<void(bool kept)> then);

 private:
  void Add(std::function<void()> work);
  void Work();
  /// The result of `call`, whose Error becomes an HttpError.
  template <class Call>
  static auto Ask(const Call& call);

  StateStore& store_;
  StateCache recent_;
  std::mutex mutex_;
  std::condition_variable added_;
  std::deque<std::function<void()>> work_;
  bool ending_ = false;
  std::thread thread_;  // the last: it uses the others
};

}  // namespace linnet

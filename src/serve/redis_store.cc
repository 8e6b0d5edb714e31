// States in redis, which several servers share. Below the prefix "linnet:MODEL:CLIENT:", MODEL being the
// fingerprint, CLIENT the hash of a key or nothing, are
//
//   state:ID       a hash: the fields of StoredState (stores.h), and "snapshot" (snapshot_bytes.h)
//   states         a sorted set of the ids; the score is when each was put, in microseconds since 1970
//   session:NAME   the id of the state that a session stands at
//
// A Put is one MULTI ... EXEC, which redis does as a whole or not at all. All commands may be repeated
// without harm, and are when the connection breaks: redis may be restarted under a running server.
#include <fmt/format.h>
#include <hiredis/hiredis.h>

#include <charconv>
#include <chrono>
#include <csignal>
#include <mutex>
#include <thread>

#include "base/check.h"
#include "serve/snapshot_bytes.h"
#include "serve/stores.h"

namespace linnet {
namespace {

using Clock = std::chrono::steady_clock;
using Command = std::vector<std::string>;

constexpr timeval kConnectTimeout{3, 0}, kTimeout{10, 0};
/// How long redis may be away, or busy loading its file, before that is an error.
constexpr std::chrono::seconds kPatience{4};
constexpr std::chrono::milliseconds kPause{100};

struct RedisPlace {
  std::string user, password, host;
  int port = 6379, database = 0;

  std::string name() const { return fmt::format("redis://{}:{}/{}", host, port, database); }
};

int ParseNumber(std::string_view text, int most, const char* what) {
  int number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  Check(error == std::errc() && end == text.data() + text.size() && number >= 0 && number <= most,
        "redis://...: '{}' is no {}; the form is redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]", text, what);
  return number;
}

/// What may stand in a password only as %41.
std::string PercentDecoded(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    int code = 0;
    const char* digits = text.data() + i + 1;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(digits, digits + 2, code, 16).ptr == digits + 2) {
      decoded += static_cast<char>(code);
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

/// Messages never show the password.
RedisPlace ParsePlace(std::string_view url) {
  RedisPlace place;
  url.remove_prefix(std::string_view("redis://").size());
  if (const size_t at = url.rfind('@'); at != std::string_view::npos) {
    const std::string_view who = url.substr(0, at);
    const size_t colon = who.find(':');
    Check(colon != std::string_view::npos,
          "redis://...: a password stands after a colon: redis://:PASSWORD@HOST");
    place.user = PercentDecoded(who.substr(0, colon));
    place.password = PercentDecoded(who.substr(colon + 1));
    url.remove_prefix(at + 1);
  }
  if (const size_t slash = url.find('/'); slash != std::string_view::npos) {
    if (slash + 1 < url.size()) place.database = ParseNumber(url.substr(slash + 1), 1 << 20, "database");
    url = url.substr(0, slash);
  }
  const size_t bracket = url.rfind(']');  // [::1]:6379
  const size_t colon = url.find(':', bracket == std::string_view::npos ? 0 : bracket);
  if (colon != std::string_view::npos) place.port = ParseNumber(url.substr(colon + 1), 65535, "port");
  place.host = url.substr(0, colon);
  if (place.host.starts_with('[') && place.host.ends_with(']'))
    place.host = place.host.substr(1, place.host.size() - 2);
  Check(!place.host.empty(),
        "redis://...: names no host; the form is redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]");
  return place;
}

struct FreeReply {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using Reply = std::unique_ptr<redisReply, FreeReply>;

std::string_view Text(const redisReply& reply) {
  return reply.str ? std::string_view(reply.str, reply.len) : std::string_view();
}

/// A connection that comes back; for one thread at a time.
class Connection {
 public:
  explicit Connection(RedisPlace place) : place_(std::move(place)) {}

  std::string name() const { return place_.name(); }

  /// Sends all commands at once and returns their replies, none of which is an error.
  std::vector<Reply> RunAll(const std::vector<Command>& commands) {
    for (const Clock::time_point start = Clock::now();;) {
      std::string reason;
      if (auto replies = TryRun(commands, reason)) return std::move(*replies);
      context_.reset();
      Check(Clock::now() - start < kPatience,
            "{}: cannot be reached: {}; is a redis server running there that this one may talk to?", name(),
            reason);
      std::this_thread::sleep_for(kPause);
    }
  }
  Reply Run(const Command& command) { return std::move(RunAll({command}).front()); }

 private:
  struct FreeContext {
    void operator()(redisContext* context) const { redisFree(context); }
  };

  /// Nothing, and why, if it is worth another try.
  std::optional<std::vector<Reply>> TryRun(const std::vector<Command>& commands, std::string& reason) {
    if (!context_ && !Connect(reason)) return std::nullopt;
    return Exchange(commands, reason);
  }

  bool Connect(std::string& reason) {
    context_.reset(redisConnectWithTimeout(place_.host.c_str(), place_.port, kConnectTimeout));
    if (!context_ || context_->err != 0) {
      reason = context_ ? context_->errstr : "out of memory";
      return false;
    }
    redisSetTimeout(context_.get(), kTimeout);
    redisEnableKeepAlive(context_.get());
    std::vector<Command> commands;
    if (!place_.password.empty()) {
      commands.push_back({"AUTH"});
      if (!place_.user.empty()) commands.back().push_back(place_.user);
      commands.back().push_back(place_.password);
    }
    commands.push_back({"SELECT", std::to_string(place_.database)});
    return Exchange(commands, reason).has_value();
  }

  std::optional<std::vector<Reply>> Exchange(const std::vector<Command>& commands, std::string& reason) {
    for (const Command& command : commands) {
      std::vector<const char*> words;
      std::vector<size_t> lengths;
      for (const std::string& word : command) {
        words.push_back(word.data());
        lengths.push_back(word.size());
      }
      if (redisAppendCommandArgv(context_.get(), static_cast<int>(words.size()), words.data(),
                                 lengths.data()) != REDIS_OK) {
        reason = context_->errstr;
        return std::nullopt;
      }
    }
    std::vector<Reply> replies;
    while (replies.size() < commands.size()) {
      void* reply = nullptr;
      if (redisGetReply(context_.get(), &reply) != REDIS_OK) {
        reason = context_->errstr;
        return std::nullopt;
      }
      replies.emplace_back(static_cast<redisReply*>(reply));
    }
    for (const Reply& reply : replies) {
      if (reply->type != REDIS_REPLY_ERROR) continue;
      const std::string_view error = Text(*reply);
      reason = error;
      context_.reset();  // it may be in the middle of a transaction
      if (error.starts_with("LOADING") || error.starts_with("BUSY")) return std::nullopt;
      Fail("{}: {}{}", name(), error, Remedy(error));
    }
    return replies;
  }

  static std::string_view Remedy(std::string_view error) {
    if (error.starts_with("NOAUTH") || error.starts_with("WRONGPASS"))
      return "; write the password into the place: redis://:PASSWORD@HOST:PORT/DB";
    if (error.starts_with("OOM")) return "; redis has reached its maxmemory: give it more, or remove states";
    if (error.starts_with("READONLY")) return "; this redis is a replica: name its master";
    return "";
  }

  RedisPlace place_;
  std::unique_ptr<redisContext, FreeContext> context_;
};

class RedisStore : public StateStore {
 public:
  RedisStore(const std::string& url, std::string fingerprint, int64_t client_bytes)
      : model_(std::move(fingerprint)), client_bytes_(client_bytes), connection_(ParsePlace(url)) {
    connection_.Run({"PING"});
  }

  void Put(const StoredState& stored, const Snapshot& snapshot) override {
    const auto key = [&](const std::string& rest) { return Key(stored.client, rest); };
    Command put = {"HSET", key("state:" + stored.id)};
    for (const auto& [name, field] : kStoredTexts) put.insert(put.end(), {name, stored.*field});
    for (const auto& [name, field] : kStoredNumbers)
      put.insert(put.end(), {name, std::to_string(stored.*field)});
    put.push_back("snapshot");
    put.push_back(PackSnapshot(snapshot, model_));
    const int64_t most = MostStates(client_bytes_, put.back().size());

    const std::lock_guard lock(mutex_);
    std::vector<Command> commands;
    commands.push_back({"MULTI"});
    commands.push_back(std::move(put));
    commands.push_back({"ZADD", key("states"), std::to_string(NextScore()), stored.id});
    if (!stored.session.empty()) commands.push_back({"SET", key("session:" + stored.session), stored.id});
    for (const std::string& id : Oldest(stored, most)) {
      commands.push_back({"DEL", key("state:" + id)});
      commands.push_back({"ZREM", key("states"), id});
    }
    commands.push_back({"EXEC"});
    connection_.RunAll(commands);
  }

  std::optional<StoredState> Find(const std::string& client, const std::string& id) override {
    const std::lock_guard lock(mutex_);
    return Row(client, id, *connection_.Run(Head(client, id)));
  }

  std::optional<Snapshot> Load(const std::string& client, const std::string& id) override {
    Reply reply;
    {
      const std::lock_guard lock(mutex_);
      reply = connection_.Run({"HGET", Key(client, "state:" + id), "snapshot"});
    }
    if (reply->type == REDIS_REPLY_NIL) return std::nullopt;
    return UnpackSnapshot(Text(*reply), model_, fmt::format("{}: the state {}", connection_.name(), id));
  }

  std::vector<StoredState> List(const std::string& client, int limit) override {
    std::vector<StoredState> list;
    if (limit < 1) return list;
    const std::lock_guard lock(mutex_);
    const Reply ids = connection_.Run({"ZREVRANGE", Key(client, "states"), "0", std::to_string(limit - 1)});
    std::vector<Command> commands;
    for (const std::string& id : Texts(*ids)) commands.push_back(Head(client, id));
    const std::vector<Reply> rows = connection_.RunAll(commands);
    for (size_t i = 0; i < rows.size(); ++i) {
      auto row = Row(client, std::string(Text(*ids->element[i])), *rows[i]);
      if (row) list.push_back(std::move(*row));
    }
    return list;
  }

  bool Remove(const std::string& client, const std::string& id) override {
    const std::lock_guard lock(mutex_);
    const auto replies = connection_.RunAll(
        {{"MULTI"}, {"DEL", Key(client, "state:" + id)}, {"ZREM", Key(client, "states"), id}, {"EXEC"}});
    const redisReply& done = *replies.back();
    return done.elements > 0 && done.element[0]->integer > 0;
  }

  std::string Session(const std::string& client, const std::string& name) override {
    const std::lock_guard lock(mutex_);
    return std::string(Text(*connection_.Run({"GET", Key(client, "session:" + name)})));
  }

  void SetSession(const std::string& client, const std::string& name, const std::string& id) override {
    const std::lock_guard lock(mutex_);
    const std::string key = Key(client, "session:" + name);
    connection_.Run(id.empty() ? Command{"DEL", key} : Command{"SET", key, id});
  }

 private:
  std::string Key(const std::string& client, const std::string& rest) const {
    return fmt::format("linnet:{}:{}:{}", model_, client, rest);
  }

  /// Grows with every call, even within a microsecond.
  int64_t NextScore() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    score_ =
        std::max<int64_t>(score_ + 1, std::chrono::duration_cast<std::chrono::microseconds>(now).count());
    return score_;
  }

  static std::vector<std::string> Texts(const redisReply& list) {
    std::vector<std::string> texts;
    for (size_t i = 0; i < list.elements; ++i) texts.emplace_back(Text(*list.element[i]));
    return texts;
  }

  /// The states that have to go for one more to fit.
  std::vector<std::string> Oldest(const StoredState& stored, int64_t most) {
    const std::string key = Key(stored.client, "states");
    const auto replies = connection_.RunAll({{"ZCARD", key}, {"ZSCORE", key, stored.id}});
    const bool replaces = replies[1]->type != REDIS_REPLY_NIL;
    const int64_t excess = replies[0]->integer + (replaces ? 0 : 1) - most;
    if (excess <= 0) return {};
    std::vector<std::string> ids = Texts(*connection_.Run({"ZRANGE", key, "0", std::to_string(excess - 1)}));
    std::erase(ids, stored.id);
    return ids;
  }

  Command Head(const std::string& client, const std::string& id) const {
    Command command = {"HMGET", Key(client, "state:" + id)};
    for (const auto& [name, field] : kStoredTexts) command.push_back(name);
    for (const auto& [name, field] : kStoredNumbers) command.push_back(name);
    return command;
  }

  /// Nothing if there is no such state, or not all of it.
  static std::optional<StoredState> Row(const std::string& client, const std::string& id,
                                        const redisReply& values) {
    if (values.elements != std::size(kStoredTexts) + std::size(kStoredNumbers)) return std::nullopt;
    for (size_t i = 0; i < values.elements; ++i)
      if (values.element[i]->type != REDIS_REPLY_STRING) return std::nullopt;
    StoredState stored;
    stored.id = id;
    stored.client = client;
    size_t at = 0;
    for (const auto& [name, field] : kStoredTexts) stored.*field = Text(*values.element[at++]);
    for (const auto& [name, field] : kStoredNumbers) {
      const std::string_view digits = Text(*values.element[at++]);
      std::from_chars(digits.data(), digits.data() + digits.size(), stored.*field);
    }
    return stored;
  }

  const std::string model_;
  const int64_t client_bytes_;
  std::mutex mutex_;
  Connection connection_;
  int64_t score_ = 0;
};

}  // namespace

std::unique_ptr<StateStore> OpenRedisStore(const std::string& url, const std::string& fingerprint,
                                           int64_t client_bytes) {
  std::signal(SIGPIPE, SIG_IGN);  // hiredis writes to connections that redis may have closed
  return std::make_unique<RedisStore>(url, fingerprint, client_bytes);
}

}  // namespace linnet

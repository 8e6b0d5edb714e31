// States in a SQLite file. It is in WAL mode with full synchronisation: what Put has returned from is on
// disk, and several processes may have the file open. Writes are transactions; SQLite's journal undoes those
// that a crash left in the middle. Values of states go through snapshot_bytes.h, whose checksum finds what a
// disk damaged.
//
// `number` grows with every Put, so that the order of states does not depend on clocks.
#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <array>
#include <mutex>

#include "base/check.h"
#include "serve/snapshot_bytes.h"
#include "serve/stores.h"

namespace linnet {
namespace {

constexpr int kApplication = 0x4c4e5354;  // "LNST": whose file it is, in SQLite's header
constexpr int kVersion = 1;
constexpr int kBusyMs = 10'000;

/// "parent TEXT NOT NULL, ..., bytes INTEGER NOT NULL" or, without types, "parent, ..., bytes".
std::string Columns(bool with_types) {
  std::string columns;
  const auto add = [&](const char* name, const char* type) {
    columns += fmt::format("{}{}{}", columns.empty() ? "" : ", ", name, with_types ? type : "");
  };
  for (const auto& [name, field] : kStoredTexts) add(name, " TEXT NOT NULL");
  for (const auto& [name, field] : kStoredNumbers) add(name, " INTEGER NOT NULL");
  return columns;
}

std::string Schema() {
  return fmt::format(
      "CREATE TABLE states(number INTEGER PRIMARY KEY AUTOINCREMENT, model TEXT NOT NULL, client TEXT NOT "
      "NULL, id TEXT NOT NULL, {}, snapshot BLOB NOT NULL, UNIQUE(model, client, id));"
      "CREATE INDEX states_by_age ON states(model, client, number);"
      "CREATE TABLE sessions(model TEXT NOT NULL, client TEXT NOT NULL, name TEXT NOT NULL, id TEXT NOT "
      "NULL, "
      "PRIMARY KEY(model, client, name)) WITHOUT ROWID;"
      "PRAGMA application_id={}; PRAGMA user_version={};",
      Columns(true), kApplication, kVersion);
}

/// A file of SQLite's; its functions throw Error, naming the file.
class Database {
 public:
  explicit Database(const std::filesystem::path& path) : path_(path.string()) {
    std::error_code error;  // if there is no folder after this, opening says so
    if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), error);
    // Conversations are nobody else's business; SQLite gives its other files the permissions of this one.
    const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file >= 0) close(file);
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    sqlite3* opened = nullptr;
    const int code = sqlite3_open_v2(path_.c_str(), &opened, flags, nullptr);
    handle_.reset(opened);
    if (code != SQLITE_OK) Throw("cannot be opened");
    sqlite3_busy_timeout(handle(), kBusyMs);
  }

  void Run(const std::string& sql) {
    if (sqlite3_exec(handle(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK)
      Throw("cannot be written");
  }
  sqlite3* handle() const { return handle_.get(); }
  const std::string& path() const { return path_; }

  [[noreturn]] void Throw(const std::string& what) const {
    const int code = handle_ ? sqlite3_errcode(handle()) : SQLITE_NOMEM;
    const char* reason = handle_ ? sqlite3_errmsg(handle()) : "out of memory";
    if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT) {
      Fail(
          "{}: is damaged, or no store of states: {}; nothing in it was changed. Move it away, or name "
          "another file with --state-store",
          path_, reason);
    }
    Fail("{}: {}: {}", path_, what, reason);
  }

 private:
  struct Close {
    void operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }
  };

  std::string path_;
  std::unique_ptr<sqlite3, Close> handle_;
};

class Statement {
 public:
  Statement(const Database& database, const std::string& sql) : database_(database) {
    if (sqlite3_prepare_v3(database.handle(), sql.c_str(), -1, SQLITE_PREPARE_PERSISTENT, &handle_,
                           nullptr) != SQLITE_OK) {
      database.Throw("cannot be used");
    }
  }
  ~Statement() { sqlite3_finalize(handle_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  const Database& database() const { return database_; }
  sqlite3_stmt* handle() const { return handle_; }

 private:
  const Database& database_;
  sqlite3_stmt* handle_ = nullptr;
};

struct Blob {
  std::string_view bytes;
};

/// One execution of a statement; the values of its parameters must outlive it.
class Query {
 public:
  template <class... Values>
  explicit Query(Statement& statement, const Values&... values) : statement_(statement) {
    (Bind(values), ...);
  }
  ~Query() { sqlite3_reset(statement_.handle()); }
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  void Bind(std::string_view text) {
    // A null pointer would be bound as NULL.
    sqlite3_bind_text64(statement_.handle(), ++bound_, text.empty() ? "" : text.data(), text.size(),
                        SQLITE_STATIC, SQLITE_UTF8);
  }
  void Bind(int64_t number) { sqlite3_bind_int64(statement_.handle(), ++bound_, number); }
  void Bind(Blob blob) {
    sqlite3_bind_blob64(statement_.handle(), ++bound_, blob.bytes.data(), blob.bytes.size(), SQLITE_STATIC);
  }

  /// Whether there is a row, or one more.
  bool Next() {
    const int code = sqlite3_step(statement_.handle());
    if (code != SQLITE_ROW && code != SQLITE_DONE) statement_.database().Throw("failed");
    return code == SQLITE_ROW;
  }
  void Finish() {
    while (Next()) continue;
  }
  int64_t Number(int column) const { return sqlite3_column_int64(statement_.handle(), column); }
  std::string Bytes(int column) const {
    const void* data = sqlite3_column_blob(statement_.handle(), column);
    const int bytes = sqlite3_column_bytes(statement_.handle(), column);
    return {static_cast<const char*>(data), static_cast<size_t>(bytes)};
  }

 private:
  Statement& statement_;
  int bound_ = 0;
};

/// Undone unless committed.
class Transaction {
 public:
  explicit Transaction(Database& database) : database_(database) { database_.Run("BEGIN IMMEDIATE"); }
  ~Transaction() {
    if (!committed_) sqlite3_exec(database_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
  }
  void Commit() {
    database_.Run("COMMIT");
    committed_ = true;
  }

 private:
  Database& database_;
  bool committed_ = false;
};

int64_t Pragma(Database& database, const char* name) {
  Statement statement(database, fmt::format("PRAGMA {}", name));
  Query query(statement);
  return query.Next() ? query.Number(0) : 0;
}

void CheckOurs(Database& database) {
  Check(Pragma(database, "application_id") == kApplication,
        "{}: is a database of another program; name another file with --state-store", database.path());
  const int64_t version = Pragma(database, "user_version");
  Check(version == kVersion,
        "{}: is a store of states of version {}, this program knows {}; nothing in it was changed. Name "
        "another file with --state-store",
        database.path(), version, kVersion);
}

/// A database with the tables of this version, or else an Error.
void Prepare(Database& database) {
  const auto empty = [&] { return Pragma(database, "schema_version") == 0; };
  if (!empty()) CheckOurs(database);
  database.Run("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;");
  Transaction transaction(database);
  if (empty()) database.Run(Schema());
  CheckOurs(database);
  transaction.Commit();
}

constexpr const char* kMine = "model=?1 AND client=?2";

class SqliteStore : public StateStore {
 public:
  SqliteStore(const std::filesystem::path& path, std::string fingerprint, int64_t client_bytes)
      : model_(std::move(fingerprint)), client_bytes_(client_bytes), database_(path) {
    Prepare(database_);
    std::string marks;
    for (size_t i = 0; i < std::size(kStoredTexts) + std::size(kStoredNumbers); ++i) marks += "?,";
    Add(kPut, fmt::format("REPLACE INTO states(model, client, id, {}, snapshot) VALUES(?,?,?,{}?)",
                          Columns(false), marks));
    Add(kTrim, fmt::format("DELETE FROM states WHERE number IN (SELECT number FROM states WHERE {} ORDER BY "
                           "number DESC LIMIT -1 OFFSET ?3)",
                           kMine));
    Add(kList, fmt::format("SELECT id, {} FROM states WHERE {} ORDER BY number DESC LIMIT ?3", Columns(false),
                           kMine));
    Add(kFind, fmt::format("SELECT id, {} FROM states WHERE {} AND id=?3", Columns(false), kMine));
    Add(kLoad, fmt::format("SELECT snapshot FROM states WHERE {} AND id=?3", kMine));
    Add(kRemove, fmt::format("DELETE FROM states WHERE {} AND id=?3", kMine));
    Add(kSession, fmt::format("SELECT id FROM sessions WHERE {} AND name=?3", kMine));
    Add(kSetSession, "REPLACE INTO sessions(model, client, name, id) VALUES(?,?,?,?)");
    Add(kForgetSession, fmt::format("DELETE FROM sessions WHERE {} AND name=?3", kMine));
  }

  void Put(const StoredState& stored, const Snapshot& snapshot) override {
    const std::string bytes = PackSnapshot(snapshot, model_);
    const std::lock_guard lock(mutex_);
    Transaction transaction(database_);
    {
      Query put(*statements_[kPut], model_, stored.client, stored.id);
      for (const auto& [name, field] : kStoredTexts) put.Bind(stored.*field);
      for (const auto& [name, field] : kStoredNumbers) put.Bind(stored.*field);
      put.Bind(Blob{bytes});
      put.Finish();
    }
    Query(*statements_[kTrim], model_, stored.client, MostStates(client_bytes_, bytes.size())).Finish();
    if (!stored.session.empty())
      Query(*statements_[kSetSession], model_, stored.client, stored.session, stored.id).Finish();
    transaction.Commit();
  }

  std::optional<StoredState> Find(const std::string& client, const std::string& id) override {
    const std::lock_guard lock(mutex_);
    Query query(*statements_[kFind], model_, client, id);
    return query.Next() ? std::optional(Row(query, client)) : std::nullopt;
  }

  std::optional<Snapshot> Load(const std::string& client, const std::string& id) override {
    std::string bytes;
    {
      const std::lock_guard lock(mutex_);
      Query query(*statements_[kLoad], model_, client, id);
      if (!query.Next()) return std::nullopt;
      bytes = query.Bytes(0);
    }
    return UnpackSnapshot(bytes, model_, fmt::format("{}: the state {}", database_.path(), id));
  }

  std::vector<StoredState> List(const std::string& client, int limit) override {
    const std::lock_guard lock(mutex_);
    Query query(*statements_[kList], model_, client, int64_t{limit});
    std::vector<StoredState> list;
    while (query.Next()) list.push_back(Row(query, client));
    return list;
  }

  bool Remove(const std::string& client, const std::string& id) override {
    const std::lock_guard lock(mutex_);
    Query(*statements_[kRemove], model_, client, id).Finish();
    return sqlite3_changes(database_.handle()) > 0;
  }

  std::string Session(const std::string& client, const std::string& name) override {
    const std::lock_guard lock(mutex_);
    Query query(*statements_[kSession], model_, client, name);
    return query.Next() ? query.Bytes(0) : "";
  }

  void SetSession(const std::string& client, const std::string& name, const std::string& id) override {
    const std::lock_guard lock(mutex_);
    if (id.empty()) {
      Query(*statements_[kForgetSession], model_, client, name).Finish();
    } else {
      Query(*statements_[kSetSession], model_, client, name, id).Finish();
    }
  }

 private:
  enum Use { kPut, kTrim, kList, kFind, kLoad, kRemove, kSession, kSetSession, kForgetSession, kUses };

  void Add(Use use, const std::string& sql) {
    statements_[use] = std::make_unique<Statement>(database_, sql);
  }

  static StoredState Row(const Query& query, const std::string& client) {
    StoredState stored;
    stored.id = query.Bytes(0);
    stored.client = client;
    int column = 1;
    for (const auto& [name, field] : kStoredTexts) stored.*field = query.Bytes(column++);
    for (const auto& [name, field] : kStoredNumbers) stored.*field = query.Number(column++);
    return stored;
  }

  const std::string model_;
  const int64_t client_bytes_;
  std::mutex mutex_;  // the connection and its statements are for one thread at a time
  Database database_;
  std::array<std::unique_ptr<Statement>, kUses> statements_;
};

}  // namespace

std::unique_ptr<StateStore> OpenSqliteStore(const std::filesystem::path& path, const std::string& fingerprint,
                                            int64_t client_bytes) {
  return std::make_unique<SqliteStore>(path, fingerprint, client_bytes);
}

}  // namespace linnet

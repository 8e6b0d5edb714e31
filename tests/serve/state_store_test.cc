// Every kind of store keeps the same promises.
#include "serve/state_store.h"

#include <gtest/gtest.h>

#include <thread>

#include "serve/processes.h"
#include "serve/stored_states.h"

namespace linnet {
namespace {

constexpr const char* kNoRedis = "there is no redis-server; Debian's package has that name";

class StateStoreTest : public testing::TestWithParam<const char*> {
 protected:
  using Ids = std::vector<std::string>;

  void SetUp() override {
    const std::string kind = GetParam();
    if (kind == "sqlite") place_ = folder_ / "new/states.db";
    if (kind == "redis") {
      if (!RedisServer::Available()) GTEST_SKIP() << kNoRedis;
      redis_.emplace();
      place_ = redis_->url();
    }
    store_ = OpenStateStore(place_, kModel);
  }
  /// As after a restart of the program; false where nothing outlives it.
  bool Reopen() {
    if (place_.empty()) return false;
    store_ = OpenStateStore(place_, kModel);
    return true;
  }
  Ids Listed(const std::string& client, int limit = 100) {
    Ids ids;
    for (const StoredState& stored : store_->List(client, limit)) ids.push_back(stored.id);
    return ids;
  }

  TemporaryFolder folder_;
  std::optional<RedisServer> redis_;
  std::string place_;
  std::unique_ptr<StateStore> store_;
};

TEST_P(StateStoreTest, GivesBackWhatWasPut) {
  const StoredState stored = StateOf(7, "alice", "resp_7");
  store_->Put(stored, SnapshotOf(7));
  for (int pass = 0; pass < 2; ++pass) {
    const auto found = store_->Find("alice", "resp_7");
    ASSERT_TRUE(found);
    EXPECT_TRUE(Same(*found, stored));
    const auto snapshot = store_->Load("alice", "resp_7");
    ASSERT_TRUE(snapshot);
    EXPECT_TRUE(Same(*snapshot, SnapshotOf(7)));
    if (!Reopen()) break;
  }
}

TEST_P(StateStoreTest, KeepsWhatIsNotKnown) {
  StoredState empty;
  empty.id = "a";
  const Snapshot fresh{{Filled({2}, 1), Tensor()}, Tensor(), 0};
  store_->Put(empty, fresh);
  EXPECT_TRUE(Same(*store_->Find("", "a"), empty));
  EXPECT_TRUE(Same(*store_->Load("", "a"), fresh));
}

TEST_P(StateStoreTest, KeepsAnyBytes) {
  StoredState stored = StateOf(1, "c", "a:b'\"; DROP TABLE states \r\n");
  stored.title = std::string("\0\xff*", 3);
  store_->Put(stored, SnapshotOf(1));
  EXPECT_TRUE(Same(*store_->Find("c", stored.id), stored));
}

TEST_P(StateStoreTest, KnowsNothingOfOthers) {
  store_->Put(StateOf(1, "alice", "s"), SnapshotOf(1));
  store_->SetSession("alice", "work", "s");
  EXPECT_FALSE(store_->Find("bob", "s"));
  EXPECT_FALSE(store_->Load("bob", "s"));
  EXPECT_FALSE(store_->Find("", "s"));
  EXPECT_FALSE(store_->Find("alice", "t"));
  EXPECT_FALSE(store_->Load("alice", "t"));
  EXPECT_EQ(store_->Session("bob", "work"), "");
  EXPECT_TRUE(store_->List("bob", 10).empty());
  EXPECT_FALSE(store_->Remove("bob", "s"));
  store_->Put(StateOf(2, "bob", "s"), SnapshotOf(2));
  EXPECT_TRUE(Same(*store_->Load("alice", "s"), SnapshotOf(1)));
  if (place_.empty()) return;
  const auto other_model = OpenStateStore(place_, "fedcba9876543210");
  EXPECT_FALSE(other_model->Find("alice", "s"));
  EXPECT_TRUE(other_model->List("alice", 10).empty());
}

TEST_P(StateStoreTest, ListsTheLastPutFirst) {
  for (int i = 0; i < 5; ++i) store_->Put(StateOf(5 - i, "c", "s" + std::to_string(i)), SnapshotOf(i));
  EXPECT_EQ(Listed("c"), (Ids{"s4", "s3", "s2", "s1", "s0"}));
  EXPECT_EQ(Listed("c", 2), (Ids{"s4", "s3"}));
  EXPECT_EQ(Listed("c", 0), Ids{});
  store_->Put(StateOf(9, "c", "s1"), SnapshotOf(9));
  EXPECT_EQ(Listed("c"), (Ids{"s1", "s4", "s3", "s2", "s0"}));
  EXPECT_TRUE(Same(*store_->Load("c", "s1"), SnapshotOf(9)));
  EXPECT_TRUE(Same(store_->List("c", 1)[0], StateOf(9, "c", "s1")));
}

TEST_P(StateStoreTest, Removes) {
  store_->Put(StateOf(1, "c", "s"), SnapshotOf(1));
  EXPECT_TRUE(store_->Remove("c", "s"));
  EXPECT_FALSE(store_->Remove("c", "s"));
  EXPECT_FALSE(store_->Find("c", "s"));
  EXPECT_EQ(Listed("c"), Ids{});
}

TEST_P(StateStoreTest, SessionsMoveAlong) {
  EXPECT_EQ(store_->Session("c", "work"), "");
  for (int i = 0; i < 2; ++i) {
    StoredState stored = StateOf(i, "c", "s" + std::to_string(i));
    stored.session = "work";
    store_->Put(stored, SnapshotOf(i));
    EXPECT_EQ(store_->Session("c", "work"), stored.id);
    EXPECT_EQ(store_->Find("c", stored.id)->session, "work");
  }
  store_->SetSession("c", "work", "s0");
  store_->SetSession("c", "other", "s1");
  Reopen();
  EXPECT_EQ(store_->Session("c", "work"), "s0");
  EXPECT_EQ(store_->Session("c", "other"), "s1");
  store_->SetSession("c", "work", "");
  store_->SetSession("c", "never", "");
  EXPECT_EQ(store_->Session("c", "work"), "");
  EXPECT_TRUE(store_->Find("c", "s0"));
}

TEST_P(StateStoreTest, TheFirstGoWhenItIsTooMuch) {
  store_ = OpenStateStore(place_, kModel, 250'000);  // a state has 67,000 bytes
  store_->Put(StateOf(0, "other", "s"), SnapshotOf(0));
  for (int i = 0; i < 5; ++i) store_->Put(StateOf(i, "c", "s" + std::to_string(i)), SnapshotOf(i));
  EXPECT_EQ(Listed("c"), (Ids{"s4", "s3", "s2"}));
  EXPECT_FALSE(store_->Load("c", "s1"));
  store_->Put(StateOf(9, "c", "s2"), SnapshotOf(9));  // takes no further place
  EXPECT_EQ(Listed("c"), (Ids{"s2", "s4", "s3"}));
  EXPECT_EQ(Listed("other"), Ids{"s"});
}

TEST_P(StateStoreTest, ManyThreadsMayUseIt) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const std::string client = "c" + std::to_string(t % 2), id = "s" + std::to_string(t);
      for (int i = 0; i < 10; ++i) {
        store_->Put(StateOf(i, client, id), SnapshotOf(i));
        EXPECT_TRUE(Same(*store_->Load(client, id), SnapshotOf(i)));
        EXPECT_FALSE(store_->List(client, 10).empty());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Listed("c0").size(), 2u);
}

TEST_P(StateStoreTest, ManyProcessesMayUseIt) {
  if (place_.empty()) GTEST_SKIP() << "memory is one process's";
  const auto second = OpenStateStore(place_, kModel);
  std::thread thread([&] {
    for (int i = 0; i < 20; ++i) second->Put(StateOf(i, "c", "second"), SnapshotOf(i));
  });
  for (int i = 0; i < 20; ++i) store_->Put(StateOf(i, "c", "first"), SnapshotOf(i));
  thread.join();
  EXPECT_TRUE(Same(*store_->Load("c", "second"), SnapshotOf(19)));
  EXPECT_TRUE(Same(*second->Load("c", "first"), SnapshotOf(19)));
}

INSTANTIATE_TEST_SUITE_P(Kinds, StateStoreTest, testing::Values("memory", "sqlite", "redis"),
                         [](const auto& kind) { return std::string(kind.param); });

/// What the opening of a place says.
std::string Refusal(const std::string& place) {
  try {
    OpenStateStore(place, kModel);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

testing::AssertionResult Says(const std::string& message, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    if (message.find(part) == std::string::npos)
      return testing::AssertionFailure() << "'" << message << "' does not say '" << part << "'";
  }
  return testing::AssertionSuccess();
}

/// SQLite itself, without linnet.
void Sqlite(const std::string& path, const std::string& sql) {
  ASSERT_EQ(std::system(("sqlite3 " + Quoted(path) + " " + Quoted(sql)).c_str()), 0);
}

class SqliteTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!HasProgram("sqlite3")) GTEST_SKIP() << "there is no sqlite3; Debian's package has that name";
  }
  TemporaryFolder folder_;
  std::string path_ = folder_ / "states.db";
};

TEST_F(SqliteTest, RefusesWhatIsNoStore) {
  WriteFile(path_, std::string(200, 'x'));
  EXPECT_TRUE(Says(Refusal(path_), {path_, "damaged", "nothing in it was changed", "--state-store"}));
  EXPECT_EQ(ReadFile(path_), std::string(200, 'x'));

  Sqlite(path_ + "2", "CREATE TABLE mine(x); INSERT INTO mine VALUES(1)");
  const std::string theirs = ReadFile(path_ + "2");
  EXPECT_TRUE(Says(Refusal(path_ + "2"), {path_ + "2", "another program"}));
  EXPECT_EQ(ReadFile(path_ + "2"), theirs);

  OpenStateStore(path_ + "3", kModel);
  Sqlite(path_ + "3", "PRAGMA user_version=9");
  EXPECT_TRUE(Says(Refusal(path_ + "3"), {path_ + "3", "version 9", "knows 1"}));

  EXPECT_TRUE(Says(Refusal("/proc/no/such/folder/states.db"), {"/proc/no/such"}));
  EXPECT_TRUE(Says(Refusal("mongodb://host"), {"mongodb://", "redis://HOST:PORT/DB"}));
}

TEST_F(SqliteTest, IsForItsOwnerAlone) {
  const auto store = OpenStateStore(path_, kModel);
  store->Put(StateOf(1, "c", "s"), SnapshotOf(1));
  const auto others = std::filesystem::perms::group_all | std::filesystem::perms::others_all;
  for (const char* end : {"", "-wal", "-shm"})
    EXPECT_EQ(std::filesystem::status(path_ + end).permissions() & others, std::filesystem::perms::none)
        << end;
}

/// A byte that a disk changed is found; all other states stay readable.
TEST_F(SqliteTest, FindsDamage) {
  {
    const auto store = OpenStateStore(path_, kModel);
    store->Put(StateOf(1, "c", "bad"), SnapshotOf(1));
    store->Put(StateOf(2, "c", "good"), SnapshotOf(2));
  }
  Sqlite(path_,
         "UPDATE states SET snapshot=CAST(substr(snapshot,1,5001)||x'77'||substr(snapshot,5003) AS BLOB) "
         "WHERE id='bad'");
  const auto store = OpenStateStore(path_, kModel);
  try {
    store->Load("c", "bad");
    ADD_FAILURE() << "a damaged state was read";
  } catch (const Error& error) {
    EXPECT_TRUE(Says(error.what(), {path_, "bad", "damaged"}));
  }
  EXPECT_TRUE(Same(*store->Load("c", "good"), SnapshotOf(2)));
  EXPECT_TRUE(store->Remove("c", "bad"));
}

class RedisTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!RedisServer::Available()) GTEST_SKIP() << kNoRedis;
  }
};

TEST_F(RedisTest, ComesBackAfterARestart) {
  RedisServer redis;
  const auto store = OpenStateStore(redis.url(), kModel);
  store->Put(StateOf(1, "c", "s"), SnapshotOf(1));
  redis.Stop(SIGKILL);
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    redis.Start();
  });
  EXPECT_TRUE(Same(*store->Load("c", "s"), SnapshotOf(1)));  // waits for it
  later.join();
  redis.Stop();
  redis.Start();
  store->Put(StateOf(2, "c", "t"), SnapshotOf(2));  // the connection it had is gone
  EXPECT_TRUE(Same(*store->Load("c", "t"), SnapshotOf(2)));
}

TEST_F(RedisTest, SaysThatItIsGone) {
  RedisServer redis;
  const auto store = OpenStateStore(redis.url(), kModel);
  redis.Stop();
  const auto start = std::chrono::steady_clock::now();
  try {
    store->Load("c", "s");
    ADD_FAILURE() << "there is no redis";
  } catch (const Error& error) {
    EXPECT_TRUE(Says(error.what(), {redis.url(), "cannot be reached"}));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(15));
}

TEST_F(RedisTest, PasswordsAreUsedAndNotShown) {
  const RedisServer redis("s3cr:t");
  const std::string host = "127.0.0.1:" + std::to_string(redis.port());
  OpenStateStore("redis://:s3cr%3At@" + host + "/3", kModel)->Put(StateOf(1, "c", "s"), SnapshotOf(1));
  EXPECT_FALSE(OpenStateStore("redis://:s3cr:t@" + host + "/2", kModel)->Find("c", "s"));
  EXPECT_TRUE(OpenStateStore("redis://default:s3cr:t@" + host + "/3", kModel)->Find("c", "s"));
  EXPECT_TRUE(Says(Refusal("redis://" + host + "/0"), {host, "NOAUTH", "redis://:PASSWORD@HOST"}));
  const std::string wrong = Refusal("redis://:letmein@" + host);
  EXPECT_TRUE(Says(wrong, {host, "WRONGPASS"}));
  EXPECT_EQ(wrong.find("letmein"), std::string::npos);
}

TEST(RedisPlaceTest, SaysWhatIsWrong) {
  EXPECT_TRUE(Says(Refusal("redis://:secret@host:70000/0"), {"70000", "port"}));
  EXPECT_TRUE(Says(Refusal("redis://host/main"), {"main", "database"}));
  EXPECT_TRUE(Says(Refusal("redis://secret@host"), {"redis://:PASSWORD@HOST"}));
  EXPECT_TRUE(Says(Refusal("redis://:6379"), {"host"}));
  for (const char* place : {"redis://:secret@host:70000/0", "redis://secret@host"})
    EXPECT_EQ(Refusal(place).find("secret"), std::string::npos);
}

}  // namespace
}  // namespace linnet

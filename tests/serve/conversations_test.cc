// What conversations keep in memory beside their store.
#include "serve/conversations.h"

#include <gtest/gtest.h>

#include "serve/refused.h"
#include "serve/stored_states.h"

namespace linnet {
namespace {

/// Counts what is loaded from it.
class CountingStore : public StateStore {
 public:
  void Put(const StoredState& stored, const Snapshot& snapshot) override { store_->Put(stored, snapshot); }
  std::optional<StoredState> Find(const std::string& client, const std::string& id) override {
    return store_->Find(client, id);
  }
  std::optional<Snapshot> Load(const std::string& client, const std::string& id) override {
    ++loads;
    return store_->Load(client, id);
  }
  std::vector<StoredState> List(const std::string& client, int limit) override {
    return store_->List(client, limit);
  }
  bool Remove(const std::string& client, const std::string& id) override {
    return store_->Remove(client, id);
  }
  std::string Session(const std::string& client, const std::string& name) override {
    return store_->Session(client, name);
  }
  void SetSession(const std::string& client, const std::string& name, const std::string& id) override {
    store_->SetSession(client, name, id);
  }

  int loads = 0;

 private:
  std::unique_ptr<StateStore> store_ = OpenStateStore("", kModel);
};

class ConversationsTest : public testing::Test {
 protected:
  static void Put(Conversations& conversations, int number, const std::string& id) {
    conversations.Put(StateOf(number, "a", id), std::make_shared<const Snapshot>(SnapshotOf(number)));
  }
  /// The number of the state that it finds.
  static int64_t Load(Conversations& conversations, const std::string& id) {
    return conversations.Load(conversations.Find("a", id))->tokens;
  }

  CountingStore store_;
};

TEST_F(ConversationsTest, WhatWasPutOrLoadedLastStaysInMemory) {
  Conversations here(store_), elsewhere(store_);
  Put(here, 1, "resp_1");
  EXPECT_EQ(Load(here, "resp_1"), 1);
  EXPECT_EQ(store_.loads, 0);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Load(elsewhere, "resp_1"), 1);
  EXPECT_EQ(store_.loads, 1);
}

TEST_F(ConversationsTest, AnotherServerMayReplaceOrRemoveIt) {
  Conversations here(store_), elsewhere(store_);
  Put(here, 1, "state_1");
  Put(elsewhere, 2, "state_1");
  EXPECT_EQ(Load(here, "state_1"), 2);
  elsewhere.Remove(elsewhere.Find("a", "state_1"));
  EXPECT_TRUE(Refuses(404, "", [&] { here.Find("a", "state_1"); }));
}

TEST_F(ConversationsTest, MemoryIsBounded) {
  const int64_t each = static_cast<int64_t>(sizeof(float)) * (64 + 4 * 64 * 64 + 256);
  Conversations conversations(store_, 3 * each);
  for (int i = 1; i <= 4; ++i) Put(conversations, i, fmt::format("resp_{}", i));
  EXPECT_EQ(Load(conversations, "resp_4"), 4);
  EXPECT_EQ(store_.loads, 0);
  EXPECT_EQ(Load(conversations, "resp_1"), 1);
  EXPECT_EQ(store_.loads, 1);
}

}  // namespace
}  // namespace linnet

#include "serve/state_cache.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "serve/engine_jobs.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

/// A folder that is there as long as the test.
class Folder {
 public:
  explicit Folder(const std::string& name)
      : path_(fs::temp_directory_path() / fmt::format("linnet-{}-{}", name, getpid())) {
    fs::remove_all(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }
  std::vector<fs::path> Files() const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::recursive_directory_iterator(path_))
      if (entry.is_regular_file()) files.push_back(entry.path());
    return files;
  }

 private:
  fs::path path_;
};

bool Same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

void ExpectSame(const Snapshot& a, const Snapshot& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  ASSERT_EQ(a.variables.size(), b.variables.size());
  for (size_t i = 0; i < a.variables.size(); ++i) EXPECT_TRUE(Same(a.variables[i], b.variables[i])) << i;
  ASSERT_EQ(static_cast<bool>(a.logits), static_cast<bool>(b.logits));
  if (a.logits) {
    EXPECT_TRUE(Same(a.logits, b.logits));
  }
}

Job Marked(size_t prompt, std::vector<size_t> marks, int64_t max_tokens = 20) {
  Job job = SomeJob(prompt, 1, max_tokens);
  for (size_t at : marks) job.marks.push_back({at, fmt::format("after {}", at)});
  job.keep_place = true;
  return job;
}

class CacheOfEach : public testing::TestWithParam<const Architecture*> {};

TEST_P(CacheOfEach, ATextIsTheSameToTheBitCachedAndNot) {
  if (!IsTheSameHoweverCut(*GetParam())) GTEST_SKIP() << "only up to rounding";
  const LoadedModel model = TinyModel(*GetParam());
  const auto run = [&](Client& client) { return client.Run(Marked(200, {30, 95, 199, 200})); };
  Engine engine(model, kBytes, {.slots = 4, .rows = 32});
  Client client(engine);
  const Outcome first = run(client);
  EXPECT_EQ(first.result.cached_tokens, 0);
  for (int i = 0; i < 8; ++i) client.Submit(SomeJob(7, i, 30));
  const Outcome again = run(client);
  EXPECT_EQ(again.result.cached_tokens, 200);
  EXPECT_EQ(again.result.ids, first.result.ids);
  ExpectSame(*again.result.place, *first.result.place);
  // A longer text with the same beginning.
  Job longer = Marked(260, {30, 95, 250});
  const Outcome cached = client.Run(std::move(longer));
  EXPECT_EQ(cached.result.cached_tokens, 95);
  Engine fresh(model, kBytes, {.cache_bytes = 0});
  Client other(fresh);
  const Outcome uncached = other.Run(Marked(260, {30, 95, 250}));
  EXPECT_EQ(uncached.result.cached_tokens, 0);
  EXPECT_EQ(cached.result.ids, uncached.result.ids);
  ExpectSame(*cached.result.place, *uncached.result.place);
  EXPECT_EQ(engine.Figures().cache_hits, 2);
  EXPECT_EQ(engine.Figures().cache_misses, 1);
  EXPECT_EQ(engine.Figures().cached_tokens, 295);
  EXPECT_EQ(engine.Figures().cache_entries, 5);
}

std::vector<const Architecture*> All() {
  std::vector<const Architecture*> all;
  for (const Architecture& architecture : Architectures()) all.push_back(&architecture);
  return all;
}
INSTANTIATE_TEST_SUITE_P(All, CacheOfEach, testing::ValuesIn(All()),
                         [](const auto& info) { return NameOf(*info.param); });

TEST(EngineCache, NoClientSeesWhatAnotherHasRead) {
  const LoadedModel model = TinyModel();
  Engine engine(model, kBytes, {});
  Client client(engine);
  for (const char* name : {"one", "two", "one"}) {
    Job job = Marked(100, {50});
    job.client = name;
    client.Submit(std::move(job));
    client.Wait(0);
  }
  EXPECT_EQ(client.Wait(1).result.cached_tokens, 0);
  EXPECT_EQ(client.Wait(2).result.cached_tokens, 50);
}

// The place after an answer: where Generate leaves it, whatever ended the answer, and found by the next turn.
TEST(EngineCache, ThePlaceAfterAnAnswerIsBeforeWhatEndedIt) {
  const LoadedModel model = TinyModel();
  Engine engine(model, kBytes, {.slots = 2});
  Client client(engine);
  const std::string text = client.Run(SomeJob(20, 1, 60)).text;
  const std::vector<std::vector<std::string>> all_stops = {
      {}, {text.substr(30, 1)}, {text.substr(30, 3)}, {text.substr(30, 4), "no such text"}};
  for (const auto& stops : all_stops) {
    Job job = Marked(20, {});
    job.max_tokens = 60;
    job.stops = stops;
    std::string answer;
    job.key_after = [&](const std::string& said) { return answer = said, fmt::format("{}", stops.size()); };
    const Outcome outcome = client.Run(std::move(job));
    GenerateOptions options;
    options.max_tokens = 60;
    options.seed = 1;
    options.past_end = true;
    options.stops = stops;
    Snapshot place;
    options.snapshot = &place;
    Generate(model, kBytes, SomePrompt(20, 1), options);
    EXPECT_EQ(outcome.text, answer);
    EXPECT_EQ(outcome.result.place->tokens, static_cast<int64_t>(20 + answer.size()));
    ExpectSame(*outcome.result.place, place);
    Job next = SomeJob(20, 1, 5);
    const std::vector<int> said = kBytes.Encode(answer);
    next.prompt.insert(next.prompt.end(), said.begin(), said.end());
    next.marks = {{next.prompt.size(), fmt::format("{}", stops.size())}};
    next.prompt.push_back('\n');
    EXPECT_EQ(client.Run(std::move(next)).result.cached_tokens, static_cast<int64_t>(20 + answer.size()));
  }
}

TEST(EngineCache, AStoredPlaceGoesOn) {
  const LoadedModel model = TinyModel();
  Engine engine(model, kBytes, {});
  Client client(engine);
  const Outcome first = client.Run(Marked(40, {}, 10));
  Job more = Marked(0, {}, 15);
  more.prompt.clear();
  more.start = first.result.place;
  const Outcome second = client.Run(std::move(more));
  EXPECT_EQ(second.result.ids.size(), 15u);
  EXPECT_EQ(second.result.place->tokens, 65);
}

TEST(EngineCache, WhatLeavesMemoryIsFoundOnDiskAlsoByTheNextServer) {
  const LoadedModel model = TinyModel();
  const Folder folder("spill");
  Outcome first;
  {
    Engine engine(model, kBytes, {.slots = 2, .cache_bytes = 1, .cache_dir = folder.path()});
    Client client(engine);
    first = client.Run(Marked(200, {50, 150}));
  }
  EXPECT_EQ(folder.Files().size(), 2u);
  for (const int64_t bytes : {int64_t{1}, int64_t{1} << 20}) {
    Engine engine(model, kBytes, {.slots = 2, .cache_bytes = bytes, .cache_dir = folder.path()});
    Client client(engine);
    for (int i = 0; i < 2; ++i) {
      const Outcome again = client.Run(Marked(200, {50, 150}));
      EXPECT_EQ(again.result.cached_tokens, 150);
      EXPECT_EQ(again.result.ids, first.result.ids);
      ExpectSame(*again.result.place, *first.result.place);
    }
  }
}

Snapshot SomePlace(const LoadedModel& model, int start) {
  const State state = model.NewState(1);
  const Tensor logits = Prefill(*model.model, state, SomePrompt(10, start));
  return {state.Save(0), logits.Reshape({logits.size()}).Clone(), 10};
}

TEST(StateFolder, FilesThatAreNotSoundAreNotUsedAndGo) {
  const LoadedModel model = TinyModel();
  const Folder folder("damage");
  const Snapshot place = SomePlace(model, 1);
  const auto write_one = [&] {
    StateFolder states(folder.path(), model, "bytes", 1 << 30);
    states.Write("key", place);
    ExpectSame(*states.Read("key"), place);
    EXPECT_FALSE(states.Read("another key"));
  };
  write_one();
  const auto size = static_cast<int64_t>(fs::file_size(folder.Files()[0]));
  for (int64_t at : {int64_t{0}, int64_t{20}, size / 3, size / 2, size - 1}) {
    for (const bool cut : {false, true}) {
      fs::remove_all(folder.path());
      write_one();
      const fs::path file = folder.Files()[0];
      if (cut) {
        fs::resize_file(file, static_cast<uintmax_t>(at));
      } else {
        std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
        stream.seekg(at);
        const int byte = stream.get();
        stream.seekp(at);
        stream.put(static_cast<char>(byte ^ 0x10));
      }
      StateFolder states(folder.path(), model, "bytes", 1 << 30);
      EXPECT_TRUE(states.Has("key"));
      EXPECT_FALSE(states.Read("key")) << at << (cut ? " cut" : " changed");
      EXPECT_FALSE(states.Has("key"));
      EXPECT_TRUE(folder.Files().empty());
    }
  }
}

TEST(StateFolder, AnotherModelDoesNotSeeThem) {
  const LoadedModel model = TinyModel(), other = TinyModel();
  for (const Parameter& p : other.params->parameters())  // of which no vector tells
    if (p.role == Role::kMatrix) p.tensor.data()[0] += 1;
  const Folder folder("models");
  StateFolder(folder.path(), model, "bytes", 1 << 30).Write("key", SomePlace(model, 1));
  EXPECT_TRUE(StateFolder(folder.path(), model, "bytes", 1 << 30).Has("key"));
  EXPECT_FALSE(StateFolder(folder.path(), other, "bytes", 1 << 30).Has("key"));
}

TEST(StateFolder, TheLimitIsKept) {
  const LoadedModel model = TinyModel();
  const Folder folder("limit");
  int64_t each;
  {
    StateFolder states(folder.path(), model, "bytes", 1 << 30);
    states.Write("a", SomePlace(model, 1));
    each = states.bytes();
  }
  StateFolder states(folder.path(), model, "bytes", 3 * each);
  for (const char* key : {"b", "c"}) states.Write(key, SomePlace(model, 1));
  EXPECT_TRUE(states.Read("a"));
  states.Write("d", SomePlace(model, 1));
  EXPECT_TRUE(states.Has("a"));
  EXPECT_FALSE(states.Has("b"));
  EXPECT_EQ(states.bytes(), 3 * each);
  EXPECT_EQ(folder.Files().size(), 3u);
}

TEST(StateFolder, AKilledServerLeavesNothingHalfWritten) {
  const LoadedModel model = TinyModel();
  const Folder folder("kill");
  const Snapshot places[] = {SomePlace(model, 0), SomePlace(model, 1)};
  for (int round = 0; round < 20; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      StateFolder states(folder.path(), model, "bytes", 1 << 30);
      for (int i = 0;; ++i) states.Write(fmt::format("{}", i % 3), places[i % 2]);
    }
    usleep(static_cast<useconds_t>(3000 + round * 1700));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    StateFolder states(folder.path(), model, "bytes", 1 << 30);
    for (const char* key : {"0", "1", "2"}) {
      const bool there = states.Has(key);
      EXPECT_EQ(states.Read(key).has_value(), there) << key;
    }
    for (const fs::path& file : folder.Files()) EXPECT_EQ(file.extension(), ".state") << file;
  }
  EXPECT_FALSE(folder.Files().empty());
}

}  // namespace
}  // namespace linnet

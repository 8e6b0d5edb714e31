#include "serve/engine.h"

#include <gtest/gtest.h>

#include "formats/refusal.h"
#include "serve/engine_jobs.h"

namespace linnet {
namespace {

/// The text that Generate writes.
std::string Alone(const LoadedModel& model, const Job& job, Generation* end = nullptr,
                  Snapshot* place = nullptr) {
  std::string text;
  GenerateOptions options;
  options.max_tokens = job.max_tokens;
  options.sampler = job.sampler;
  options.seed = job.seed;
  options.stops = job.stops;
  options.past_end = job.past_end;
  options.snapshot = place;
  options.on_text = [&](std::string_view piece) { text += piece; };
  const Generation result = Generate(model, kBytes, job.prompt, options);
  if (end != nullptr) *end = result;
  return text;
}

/// Prompts from nothing to several chunks, outputs from none to long ones, all kinds of ends.
std::vector<Job> RaggedJobs(int count) {
  const size_t lengths[] = {3,  0,  1, 2 * kPrefillRows + 17, 40, kPrefillRows, kPrefillRows + 1, 7, 700,
                            16, 20, 5};
  std::vector<Job> jobs;
  for (int i = 0; i < count; ++i) {
    Job job = SomeJob(lengths[static_cast<size_t>(i) % std::size(lengths)], i, (i * 7) % 31);
    job.client = std::to_string(i % 3);
    job.past_end = i % 2 == 0;
    if (i % 3 == 0) job.stops = {"e", "aa"};
    if (i % 4 == 1) job.sampler.temperature = 0;
    jobs.push_back(std::move(job));
  }
  return jobs;
}

TEST(Engine, WritesWhatGenerateWritesWhateverElseIsInTheBatch) {
  const LoadedModel model = TinyModel();
  const std::pair<int, Engine::Options> limits[] = {
      {12, {.slots = 1, .rows = 1}}, {24, {.slots = 5, .rows = 100}}, {64, {.slots = 64}}};
  for (const auto& [count, limit] : limits) {
    Engine engine(model, kBytes, limit);
    Client client(engine);
    for (Job& job : RaggedJobs(count)) client.Submit(std::move(job));
    const std::vector<Job> jobs = RaggedJobs(count);
    for (size_t i = 0; i < jobs.size(); ++i) {
      SCOPED_TRACE(fmt::format("{} slots, job {}", limit.slots, i));
      Generation end;
      const std::string text = Alone(model, jobs[i], &end);
      const Outcome& outcome = client.Wait(i);
      EXPECT_EQ(outcome.result.error, "");
      EXPECT_EQ(outcome.text, text);
      EXPECT_EQ(outcome.result.end, end.end);
      EXPECT_EQ(outcome.result.ids.size(), static_cast<size_t>(end.tokens));
      EXPECT_EQ(outcome.result.prompt_tokens, end.prompt_tokens);
    }
    const EngineFigures figures = engine.Figures();
    EXPECT_EQ(figures.jobs, count);
    EXPECT_EQ(figures.waiting + figures.reading + figures.writing, 0);
  }
}

TEST(Engine, ACancelledJobEndsAndLeavesItsSlot) {
  const LoadedModel model = TinyModel();
  Engine engine(model, kBytes, {.slots = 1});
  Client client(engine);
  Gate gate;
  const size_t endless = client.Submit(gate.Hold(SomeJob(3, 1, 1'000'000'000)));
  const size_t waiting = client.Submit(SomeJob(3, 2, 5)), other = client.Submit(SomeJob(3, 3, 5));
  gate.WaitUntilReached();
  client.Cancel(waiting);
  gate.Open();
  EXPECT_EQ(client.Wait(waiting).result.end, TextEnd::kInterrupted);
  EXPECT_FALSE(client.Ended(other));
  client.Cancel(endless);
  EXPECT_EQ(client.Wait(endless).result.end, TextEnd::kInterrupted);
  EXPECT_EQ(client.Wait(other).result.end, TextEnd::kLength);
  client.Cancel(other);  // which has ended
  EXPECT_EQ(engine.Figures().cancelled, 2);
}

TEST(Engine, AFullQueueRefuses) {
  const LoadedModel model = TinyModel();
  Engine engine(model, kBytes, {.slots = 1, .queue = 2});
  Client client(engine);
  Gate gate;
  client.Submit(gate.Hold(SomeJob(3, 1, 5)));
  gate.WaitUntilReached();
  for (int i = 0; i < 2; ++i) client.Submit(SomeJob(3, 2, 5));
  try {
    engine.Submit(SomeJob(3, 2, 5));
    ADD_FAILURE() << "a third job waits";
  } catch (const QueueFull& full) {
    EXPECT_GE(full.retry_after_s, 1);
  }
  EXPECT_EQ(engine.Figures().refused, 1);
  EXPECT_EQ(engine.Figures().waiting, 2);
  gate.Open();
  EXPECT_EQ(client.Wait(2).result.end, TextEnd::kLength);
}

// One client has all slots and many more jobs; another comes with one of its own.
TEST(Engine, AClientWithManyJobsLeavesSlotsToOthers) {
  const LoadedModel model = TinyModel();
  Engine engine(model, kBytes, {.slots = 3});
  Client client(engine);
  Gate gate;
  const auto job_of = [](const std::string& name, int start) {
    Job job = SomeJob(5, start, 60);
    job.client = name;
    return job;
  };
  std::vector<size_t> greedy = {client.Submit(gate.Hold(job_of("greedy", 0)))};
  for (int i = 1; i < 12; ++i) greedy.push_back(client.Submit(job_of("greedy", i)));
  gate.WaitUntilReached();
  const size_t modest = client.Submit(job_of("modest", 50));
  gate.Open();
  EXPECT_LE(client.Wait(modest).order, 3);
  EXPECT_EQ(client.Wait(modest).text, Alone(model, job_of("modest", 50)));
  // The one that had to wait for it comes out as if nothing had been.
  for (size_t i = 1; i < greedy.size(); ++i)
    EXPECT_EQ(client.Wait(greedy[i]).text, Alone(model, job_of("greedy", static_cast<int>(i))));
}

TEST(Engine, LongPromptsDoNotKeepAShortOneOfAnotherClientWaiting) {
  const LoadedModel model = TinyModel();
  Engine engine(model, kBytes, {.slots = 8});
  Client client(engine);
  Gate gate;
  const size_t first = client.Submit(gate.Hold(SomeJob(1, 0, 1)));
  gate.WaitUntilReached();
  for (int i = 0; i < 3; ++i) client.Submit(SomeJob(20'000, i, 1));
  Job other = SomeJob(600, 5, 3);
  other.client = "other";
  const size_t modest = client.Submit(std::move(other));
  gate.Open();
  EXPECT_EQ(client.Wait(first).order, 1);
  EXPECT_EQ(client.Wait(modest).order, 2);
}

TEST(Engine, AJobThatFailsLeavesTheOthersAlone) {
  const LoadedModel model = TinyModel();
  for (const Parameter& parameter : model.params->parameters()) {  // token 9 makes all that follows NaN
    if (parameter.name != "emb.weight") continue;
    std::fill_n(parameter.tensor.data() + 9 * 32, 32, std::numeric_limits<float>::quiet_NaN());
  }
  Engine engine(model, kBytes, {});
  Client client(engine);
  Job good = SomeJob(3, 1, 40), damaged = SomeJob(3, 2, 5), throwing = SomeJob(3, 3, 5);
  good.prompt = {1, 2};
  good.sampler.bias = {{9, -std::numeric_limits<float>::infinity()}};
  damaged.prompt = {1, 9};
  throwing.on_text = [](std::string_view, const ScoredToken*) { throw std::bad_alloc(); };
  Job rude = SomeJob(3, 4, 5);
  rude.on_end = [](const JobResult&) { throw std::runtime_error("rude"); };
  engine.Submit(std::move(rude));
  const size_t a = client.Submit(std::move(good)), b = client.Submit(std::move(damaged)),
               c = client.Submit(std::move(throwing));
  EXPECT_NE(client.Wait(b).result.error, "");
  EXPECT_NE(client.Wait(c).result.error, "");
  EXPECT_EQ(client.Wait(a).result.error, "");
  EXPECT_EQ(client.Wait(a).result.ids.size(), 40u);
  EXPECT_EQ(engine.Figures().failed, 2);
}

TEST(Engine, DrainingTakesNoMoreAndWaitsForTheRest) {
  const LoadedModel model = TinyModel();
  Engine engine(model, kBytes, {.slots = 1});
  Client client(engine);
  const size_t first = client.Submit(SomeJob(3, 1, 20)), second = client.Submit(SomeJob(3, 2, 20));
  engine.Drain(std::chrono::seconds(60));
  EXPECT_TRUE(client.Ended(first) && client.Ended(second));
  EXPECT_EQ(client.Wait(second).result.end, TextEnd::kLength);
  EXPECT_TRUE(Refuses([&] { engine.Submit(SomeJob(3, 1, 1)); }, "takes no more"));
}

TEST(Engine, DrainingEndsWhatTakesTooLong) {
  const LoadedModel model = TinyModel();
  Engine engine(model, kBytes, {.slots = 1});
  Client client(engine);
  const size_t endless = client.Submit(SomeJob(3, 1, 1'000'000'000));
  engine.Drain(std::chrono::seconds(0));
  EXPECT_TRUE(client.Ended(endless));
  EXPECT_EQ(client.Wait(endless).result.end, TextEnd::kInterrupted);
}

TEST(Engine, RefusesWhatMakesNoSense) {
  const LoadedModel model = TinyModel();
  EXPECT_TRUE(Refuses([&] { Engine(model, kBytes, {.slots = 0}); }, "at least 1 slot"));
  EXPECT_TRUE(Refuses([&] { Engine(model, kBytes, {.rows = 0}); }, "at least 1 row"));
  Engine engine(model, kBytes, {});
  const auto refused = [&](const std::function<void(Job&)>& spoil, const char* why) {
    Job job = SomeJob(3, 1, 5);
    spoil(job);
    return Refuses([&] { engine.Submit(std::move(job)); }, why);
  };
  EXPECT_TRUE(refused([](Job& job) { job.prompt = {256}; }, "has the token 256"));
  EXPECT_TRUE(refused([](Job& job) { job.max_tokens = -1; }, "at least 0"));
  EXPECT_TRUE(refused([](Job& job) { job.stops = {""}; }, "stop string"));
  EXPECT_TRUE(refused([](Job& job) { job.sampler.top_p = 2; }, "top-p"));
  EXPECT_TRUE(refused([](Job& job) { job.marks = {{4, "k"}}; }, "mark"));
  EXPECT_EQ(engine.Figures().jobs, 0);
}

// All kinds of ends, places kept and forgotten, clients that go.
TEST(Engine, NothingIsLeftBehind) {
  const LoadedModel model = TinyModel();
  Alone(model, SomeJob(600, 1, 3));  // what threads keep for themselves
  const size_t before = HostMemoryUse().in_use_bytes;
  {
    Engine engine(model, kBytes, {.slots = 4, .queue = 1000, .cache_bytes = 100'000});
    size_t once = 0;
    for (int round = 0; round < 6; ++round) {
      Client client(engine);
      for (int i = 0; i < 40; ++i) {
        Job job = SomeJob(40, i, 12);
        job.client = fmt::format("{}", i % 3);
        job.marks = {{20, fmt::format("{} {}", round, i)}};
        if (i % 2 == 0) job.stops = {"e"};
        job.keep_place = i % 3 == 0;
        client.Submit(std::move(job));
        if (i % 5 == 0) client.Cancel(static_cast<size_t>(i));
      }
      for (size_t i = 0; i < 40; ++i) client.Wait(i);
      const auto cache = static_cast<size_t>(engine.Figures().cache_bytes);
      EXPECT_LE(cache, 100'000u);
      if (round == 2) once = HostMemoryUse().in_use_bytes;
      if (round > 2) {
        EXPECT_LE(HostMemoryUse().in_use_bytes, once + once / 10);
      }
    }
  }
  EXPECT_EQ(HostMemoryUse().in_use_bytes, before);
}

// A model whose attention has room for so many tokens: no job may take others along by asking for more.
TEST(Engine, AJobEndsWhereTheContextDoes) {
  LoadedModel model = TinyModel(FindArchitecture("rwkv7b"));
  const auto context = static_cast<size_t>(model.sizes.at("context"));
  Engine engine(model, kBytes, {.slots = 2});
  Client client(engine);
  EXPECT_TRUE(Refuses([&] { engine.Submit(SomeJob(context + 1, 1, 5)); }, "remembers"));
  const size_t job = client.Submit(SomeJob(context - 7, 1, 50));
  EXPECT_EQ(client.Wait(job).result.error, "");
  EXPECT_EQ(client.Wait(job).result.ids.size(), 7u);
}

}  // namespace
}  // namespace linnet

#include "serve/engine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "formats/refusal.h"
#include "serve/engine_jobs.h"

namespace linnet {
namespace {

const BytesTokenizer kBytes;

/// The text that Generate writes.
std::string Alone(const LoadedModel& model, const Job& job, Generation* end = nullptr) {
  std::string text;
  GenerateOptions options;
  options.max_tokens = job.max_tokens;
  options.sampler = job.sampler;
  options.seed = job.seed;
  options.stops = job.stops;
  options.past_end = job.past_end;
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
  const Engine::Options limits[] = {{.slots = 1, .rows = 1}, {.slots = 5, .rows = 100}, {.slots = 64}};
  for (const Engine::Options& limit : limits) {
    Engine engine(model, kBytes, limit);
    Client client(engine);
    for (Job& job : RaggedJobs(64)) client.Submit(std::move(job));
    const std::vector<Job> jobs = RaggedJobs(64);
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
  }
}

TEST(Engine, ACancelledJobEndsAndLeavesItsSlot) {
  const LoadedModel model = TinyModel();
  Engine engine(model, kBytes, {.slots = 1});
  Client client(engine);
  std::promise<void> begun;
  Job job = SomeJob(3, 1, 1'000'000'000);
  job.on_text = [&, told = false](std::string_view, const ScoredToken*) mutable {
    if (!std::exchange(told, true)) begun.set_value();
  };
  const size_t endless = client.Submit(std::move(job));
  const size_t waiting = client.Submit(SomeJob(3, 2, 5)), other = client.Submit(SomeJob(3, 3, 5));
  begun.get_future().wait();
  client.Cancel(waiting);
  EXPECT_EQ(client.Wait(waiting).result.end, TextEnd::kInterrupted);
  client.Cancel(endless);
  EXPECT_EQ(client.Wait(endless).result.end, TextEnd::kInterrupted);
  EXPECT_EQ(client.Wait(other).result.end, TextEnd::kLength);
  client.Cancel(other);  // which has ended
  EXPECT_EQ(engine.Figures().cancelled, 2);
}

}  // namespace
}  // namespace linnet

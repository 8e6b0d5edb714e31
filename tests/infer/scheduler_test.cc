#include "infer/scheduler.h"

#include <gtest/gtest.h>

#include <numeric>

#include "formats/refusal.h"
#include "infer/tiny_model.h"

namespace linnet {
namespace {

struct Asked {
  std::vector<int> prompt;
  GenerateOptions options;
};

struct Answer {
  std::string text;
  FinishedText end;
};

GenerateOptions Options(int64_t max_tokens) {
  GenerateOptions options;
  options.max_tokens = max_tokens;
  options.past_end = true;
  return options;
}

std::vector<int> Prompt(size_t length, int start) {
  std::vector<int> prompt(length);
  for (size_t i = 0; i < length; ++i)
    prompt[i] = static_cast<int>((i * i + static_cast<size_t>(start)) % 251);
  return prompt;
}

/// Prompts from nothing to several chunks, outputs from none to long ones, all kinds of ends.
std::vector<Asked> RaggedRequests() {
  std::vector<Asked> requests;
  const size_t lengths[] = {3,  0,  1, 2 * kPrefillRows + 17, 40, kPrefillRows, kPrefillRows + 1, 7, 1500,
                            16, 20, 5};
  for (size_t i = 0; i < std::size(lengths); ++i) {
    Asked asked{Prompt(lengths[i], static_cast<int>(i)), {}};
    asked.options.max_tokens = static_cast<int64_t>((i * 7) % 31);
    asked.options.seed = 100 + i;
    asked.options.past_end = i % 2 == 0;
    if (i % 3 == 0) asked.options.stops = {"e", "aa"};
    if (i % 4 == 1) asked.options.sampler.temperature = 0;
    requests.push_back(std::move(asked));
  }
  return requests;
}

std::vector<Answer> Scheduled(const LoadedModel& model, const std::vector<Asked>& requests,
                              Scheduler::Limits limits) {
  const BytesTokenizer tokenizer;
  Scheduler scheduler(model, tokenizer, limits);
  std::vector<Answer> answers(requests.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    GenerateOptions options = requests[i].options;
    options.on_text = [&, i](std::string_view piece) { answers[i].text += piece; };
    scheduler.Add(requests[i].prompt, options, [&, i](const FinishedText& end) { answers[i].end = end; });
  }
  while (scheduler.Step()) EXPECT_LE(scheduler.running(), static_cast<size_t>(limits.slots));
  EXPECT_EQ(scheduler.waiting() + scheduler.running(), 0u);
  return answers;
}

TEST(Scheduler, WritesWhatGenerateWritesWhateverElseIsInTheBatch) {
  const LoadedModel model = TinyModel();
  const std::vector<Asked> requests = RaggedRequests();
  const Scheduler::Limits limits[] = {{1, 1}, {3, 600}, {8, 2 * kPrefillRows}, {100, 100'000}};
  for (const Scheduler::Limits& limit : limits) {
    const std::vector<Answer> answers = Scheduled(model, requests, limit);
    for (size_t i = 0; i < requests.size(); ++i) {
      SCOPED_TRACE(fmt::format("{} slots, request {}", limit.slots, i));
      std::string text;
      GenerateOptions options = requests[i].options;
      options.on_text = [&](std::string_view piece) { text += piece; };
      const Generation single = Generate(model, BytesTokenizer(), requests[i].prompt, options);
      EXPECT_EQ(answers[i].text, text);
      EXPECT_EQ(answers[i].end.error, "");
      EXPECT_EQ(answers[i].end.end, single.end);
      EXPECT_EQ(answers[i].end.tokens, single.tokens);
      EXPECT_EQ(answers[i].end.prompt_tokens, single.prompt_tokens);
      EXPECT_EQ(answers[i].end.ids.size(), static_cast<size_t>(single.tokens));
    }
  }
}

// Bits, not only the tokens drawn: the logits after every chunk and token of one text, alone and among
// others.
TEST(Scheduler, LogitsOfARowDoNotDependOnTheBatch) {
  const LoadedModel model = TinyModel();
  const std::vector<int> prompt = Prompt(40, 1);
  const auto logits_among = [&](int others) {
    const State state = model.NewState(others + 1);
    std::vector<float> logits;
    for (int step = 0; step < 6; ++step) {
      Batch batch;
      for (int i = 0; i < others; ++i)
        batch.Append(Prompt(static_cast<size_t>(1 + (i * 13 + step) % 50), i), i);
      batch.Append(step == 0 ? prompt : std::vector<int>{step}, others);
      batch.wanted = {batch.start.back() - 1};
      const Tensor row = model.model->Forward(batch, state);
      logits.insert(logits.end(), row.data(), row.data() + row.size());
    }
    return logits;
  };
  const std::vector<float> alone = logits_among(0);
  for (int others : {1, 2, 7, 8, 20}) EXPECT_EQ(logits_among(others), alone) << others;
}

TEST(Scheduler, AFreeSlotIsTakenAtOnce) {
  const LoadedModel model = TinyModel();
  const BytesTokenizer tokenizer;
  Scheduler scheduler(model, tokenizer, {.slots = 2});
  std::vector<int> order;
  const int64_t lengths[] = {10, 2, 3, 4};
  for (int i = 0; i < 4; ++i) {
    scheduler.Add({1}, Options(lengths[i]), [&order, i](const FinishedText&) { order.push_back(i); });
  }
  int steps = 0;
  while (scheduler.Step()) ++steps;
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3, 0}));
  EXPECT_EQ(steps, 10);  // one slot writes 10 tokens, the other 2, 3 and 4
}

TEST(Scheduler, TextsMayBeAddedWhileOthersRun) {
  const LoadedModel model = TinyModel();
  const BytesTokenizer tokenizer;
  Scheduler scheduler(model, tokenizer, {.slots = 1});
  int ended = 0;
  Scheduler::OnEnd again = [&](const FinishedText&) {
    if (++ended < 5) scheduler.Add({2}, Options(2), again);
  };
  scheduler.Add({1}, Options(2), again);
  while (scheduler.Step()) continue;
  EXPECT_EQ(ended, 5);
  EXPECT_FALSE(scheduler.Step());
}

TEST(Scheduler, AnInterruptEndsOneText) {
  const LoadedModel model = TinyModel();
  const BytesTokenizer tokenizer;
  Scheduler scheduler(model, tokenizer, {.slots = 2});
  std::atomic<bool> interrupted = false;
  GenerateOptions options = Options(20);
  FinishedText first, second;
  scheduler.Add({1}, options, [&](const FinishedText& end) { first = end; });
  options.interrupted = &interrupted;
  options.on_progress = [&](int64_t, int64_t tokens) { interrupted = tokens == 5; };
  scheduler.Add({1}, options, [&](const FinishedText& end) { second = end; });
  while (scheduler.Step()) continue;
  EXPECT_EQ(first.end, Generation::End::kLength);
  EXPECT_EQ(second.end, Generation::End::kInterrupted);
  EXPECT_EQ(first.ids.size(), 20u);
  EXPECT_EQ(second.ids.size(), 5u);
}

// A tokenizer that has fewer ids than the model has rows, as that of World models.
class FewIds : public BytesTokenizer {
 public:
  int vocab() const override { return 100; }
};

TEST(Scheduler, RowsBeyondTheTokenizersAreNeverDrawn) {
  const LoadedModel model = TinyModel();
  const FewIds tokenizer;
  Scheduler scheduler(model, tokenizer, {});
  FinishedText result;
  scheduler.Add({1}, Options(200), [&](const FinishedText& end) { result = end; });
  while (scheduler.Step()) continue;
  EXPECT_EQ(result.ids.size(), 200u);
  for (int id : result.ids) EXPECT_LT(id, 100);
}

TEST(Scheduler, ATextThatFailsLeavesTheOthersAlone) {
  const LoadedModel model = TinyModel();
  for (const Parameter& parameter : model.params->parameters()) {  // token 9 makes all that follows NaN
    if (parameter.name != "emb.weight") continue;
    std::fill_n(parameter.tensor.data() + 9 * 32, 32, std::numeric_limits<float>::quiet_NaN());
  }
  const std::vector<Answer> answers = Scheduled(model, {{{1, 9}, Options(5)}, {{1, 8}, Options(5)}}, {});
  EXPECT_NE(answers[0].end.error, "");
  EXPECT_EQ(answers[1].end.error, "");
  EXPECT_EQ(answers[1].end.tokens, 5);
}

TEST(Scheduler, RefusesWhatMakesNoSense) {
  const LoadedModel model = TinyModel();
  const BytesTokenizer tokenizer;
  EXPECT_TRUE(Refuses([&] { Scheduler(model, tokenizer, {.slots = 0}); }, "at least one slot"));
  EXPECT_TRUE(Refuses([&] { Scheduler(model, tokenizer, {.rows = 0}); }, "at least 1 row"));
  Scheduler scheduler(model, tokenizer, {});
  EXPECT_TRUE(Refuses([&] { scheduler.Add({256}, {}, {}); }, "has the token 256"));
  EXPECT_TRUE(Refuses([&] { scheduler.Add({1}, Options(-1), {}); }, "at least 0"));
  GenerateOptions options = Options(1);
  options.stops = {""};
  EXPECT_TRUE(Refuses([&] { scheduler.Add({1}, options, {}); }, "stop string"));
  options = Options(1);
  options.sampler.top_p = 2;
  EXPECT_TRUE(Refuses([&] { scheduler.Add({1}, options, {}); }, "top-p"));
}

}  // namespace
}  // namespace linnet

// What a job can ask of the engine besides its text.
#include <gtest/gtest.h>

#include <cmath>

#include "infer/passages.h"
#include "ops/ops.h"
#include "serve/engine_jobs.h"

namespace linnet {
namespace {

/// Allows 'a', `length` times.
class OnlyA : public Constraint {
 public:
  explicit OnlyA(int length) : left_(length) {}
  void Mask(std::span<float> logits) const override {
    for (size_t i = 0; i < logits.size(); ++i)
      if (i != (left_ > 0 ? 'a' : Tokenizer::kEndOfText)) logits[i] = -std::numeric_limits<float>::infinity();
  }
  void Accept(int token) override {
    Check(token == 'a', "token {} is not allowed", token);
    --left_;
  }
  bool ended() const override { return left_ == 0; }
  std::unique_ptr<Constraint> Clone() const override { return std::make_unique<OnlyA>(left_); }

 private:
  int left_;
};

TEST(EngineFeatures, AConstraintIsKeptToAndEndsTheText) {
  const LoadedModel model = TinyModel();
  Engine engine(model, kBytes, {});
  Client client(engine);
  Job job = SomeJob(5, 1, 50);
  job.constraint = std::make_unique<OnlyA>(4);
  const Outcome& outcome = client.Run(std::move(job));
  EXPECT_EQ(outcome.text, "aaaa");
  EXPECT_EQ(outcome.result.end, TextEnd::kEndOfText);
  EXPECT_EQ(outcome.result.error, "");
}

/// What the model says of each token of a text but the first.
std::vector<TokenScore> Scores(const LoadedModel& model, std::vector<int> tokens) {
  std::vector<TokenScore> scores;
  PassageReader reader(model);
  bool given = false;
  ScorePassages(
      *model.model, reader,
      [&](Passage& passage) {
        if (std::exchange(given, true)) return false;
        passage = Predicting(std::move(tokens));
        return true;
      },
      [&](int64_t, const Passage&, size_t, const TokenScore& score) { scores.push_back(score); });
  return scores;
}

TEST(EngineFeatures, ScoresAreThoseOfEval) {
  const LoadedModel model = TinyModel();
  Engine engine(model, kBytes, {.slots = 2, .rows = 40});
  Client client(engine);
  const size_t busy = client.Submit(SomeJob(3, 9, 200));  // others are being written meanwhile
  Job job = SomeJob(300, 1, 1);
  job.prompt_logprobs = true;
  job.top_logprobs = 3;
  job.sampler.temperature = 0;
  std::vector<ScoredToken> prompt, written;
  job.on_prompt_scores = [&](const std::vector<ScoredToken>& scores) { prompt = scores; };
  job.on_text = [&](std::string_view, const ScoredToken* score) { written.push_back(*score); };
  const Outcome& outcome = client.Run(std::move(job));
  ASSERT_EQ(prompt.size(), 300u);
  ASSERT_EQ(written.size(), 1u);
  EXPECT_TRUE(std::isnan(prompt[0].logprob));
  std::vector<int> all = SomePrompt(300, 1);
  all.push_back(outcome.result.ids[0]);
  const std::vector<TokenScore> expected = Scores(model, all);
  for (size_t i = 1; i < 300; ++i) {
    EXPECT_EQ(prompt[i].token, all[i]);
    EXPECT_EQ(prompt[i].logprob, -expected[i - 1].loss) << i;
    ASSERT_EQ(prompt[i].top.size(), 3u);
    EXPECT_EQ(prompt[i].top[0].first == prompt[i].token, expected[i - 1].likeliest);
    EXPECT_GE(prompt[i].top[0].second, prompt[i].top[1].second);
    if (expected[i - 1].likeliest) {
      EXPECT_EQ(prompt[i].top[0].second, prompt[i].logprob);
    }
  }
  EXPECT_EQ(written[0].logprob, -expected.back().loss);
  EXPECT_EQ(written[0].top[0].first, written[0].token);
  client.Wait(busy);
}

/// Jobs with one prompt and seeds of their own.
std::vector<Job> Choices(int count, bool scores) {
  std::vector<Job> jobs;
  const auto shared = std::make_shared<SharedPrompt>();
  for (int i = 0; i < count; ++i) {
    jobs.push_back(SomeJob(100, 1, 12));
    jobs.back().seed = 40 + static_cast<uint64_t>(i);
    jobs.back().prompt_logprobs = scores;
    if (scores) jobs.back().top_logprobs = 0;
    jobs.back().shared = shared;
  }
  return jobs;
}

TEST(EngineFeatures, ChoicesReadTheirPromptOnceAndAreTheSameAsAlone) {
  const LoadedModel model = TinyModel();
  for (const bool scores : {false, true}) {
    Engine engine(model, kBytes, {.slots = 3, .cache_bytes = 0});
    Client client(engine);
    std::vector<size_t> sent;
    std::vector<double> logprobs(5);
    std::vector<Job> jobs = Choices(5, scores);
    for (size_t i = 0; i < jobs.size(); ++i) {
      if (scores)
        jobs[i].on_prompt_scores = [&, i](const auto& of_prompt) { logprobs[i] = of_prompt.at(99).logprob; };
      sent.push_back(client.Submit(std::move(jobs[i])));
    }
    for (const size_t index : sent) EXPECT_EQ(client.Wait(index).result.error, "");
    EXPECT_EQ(engine.Figures().read_tokens, 100);
    Client later(engine);
    for (size_t i = 0; i < sent.size(); ++i) {
      Job alone = SomeJob(100, 1, 12);
      alone.seed = 40 + i;
      EXPECT_EQ(client.Wait(sent[i]).result.ids, later.Run(std::move(alone)).result.ids);
      EXPECT_EQ(logprobs[i], logprobs[0]);
      EXPECT_EQ(client.Wait(sent[i]).result.prompt_tokens, 100);
    }
  }
}

TEST(EngineFeatures, AChoiceReadsThePromptIfItsReaderEndsBefore) {
  const LoadedModel model = TinyModel();
  Engine engine(model, kBytes, {.slots = 4});
  Client client(engine);
  Gate gate;
  client.Submit(gate.Hold(SomeJob(3, 9, 2)));
  gate.WaitUntilReached();
  std::vector<size_t> sent;
  for (Job& job : Choices(3, false)) sent.push_back(client.Submit(std::move(job)));
  const size_t busy = client.Submit(SomeJob(3, 8, 60));
  client.Cancel(sent[0]);
  gate.Open();
  EXPECT_EQ(client.Wait(sent[1]).result.ids.size(), 12u);
  EXPECT_EQ(client.Wait(sent[2]).result.ids.size(), 12u);
  EXPECT_EQ(client.Wait(sent[0]).result.end, TextEnd::kInterrupted);
  client.Wait(busy);
  EXPECT_EQ(engine.Figures().waiting, 0);
}

TEST(EngineFeatures, AnEmbeddingIsTheMeanOverThePrompt) {
  const LoadedModel model = TinyModel();
  const std::vector<int> prompt = SomePrompt(70, 3);
  Batch batch;
  batch.Append(prompt, 0);
  const Tensor hidden = model.model->Hidden(batch, model.NewState(1));
  for (const int rows : {16, 512}) {
    Engine engine(model, kBytes, {.slots = 2, .rows = rows});
    Client client(engine);
    const size_t busy = client.Submit(SomeJob(3, 9, 100));
    Job job = SomeJob(70, 3, 5);
    job.embed = true;
    job.embed_from = 1;
    std::vector<float> mean;
    job.on_hidden = [&](std::vector<float> values) { mean = std::move(values); };
    EXPECT_TRUE(client.Run(std::move(job)).result.ids.empty());
    ASSERT_EQ(mean.size(), 32u);
    for (size_t c = 0; c < mean.size(); ++c) {
      double sum = 0;
      for (size_t row = 1; row < 70; ++row) sum += hidden.data()[row * 32 + c];
      EXPECT_EQ(mean[c], static_cast<float>(sum / 69));
    }
    client.Wait(busy);
  }
}

std::shared_ptr<const Adapters> SomeAdapters(const LoadedModel& model, uint64_t seed) {
  auto adapters = std::make_shared<Adapters>();
  Random random(seed);
  const auto factor = [&](Dim rows, Dim columns) {
    const Tensor t = Tensor::Empty({rows, columns});
    for (Dim i = 0; i < t.size(); ++i) t.data()[i] = static_cast<float>(0.3 * random.Normal());
    return t;
  };
  for (const Parameter& p : model.params->parameters()) {
    if (!p.name.ends_with("receptance.weight") && !p.name.ends_with("key.weight")) continue;
    adapters->Add(p.tensor, {factor(2, p.tensor.dim(1)), factor(p.tensor.dim(0), 2), 1});
  }
  return adapters;
}

TEST(EngineFeatures, EachJobHasTheAdaptersThatItAskedFor) {
  const LoadedModel model = TinyModel();
  const std::shared_ptr<const Adapters> loras[] = {nullptr, SomeAdapters(model, 1), SomeAdapters(model, 2)};
  std::vector<std::string> alone;
  for (const auto& lora : loras) {
    const AdaptersInForce in_force(lora.get());
    GenerateOptions options;
    options.max_tokens = 30;
    options.past_end = true;
    std::string text;
    options.on_text = [&](std::string_view piece) { text += piece; };
    Generate(model, kBytes, SomePrompt(40, 1), options);
    alone.push_back(text);
  }
  EXPECT_NE(alone[0], alone[1]);
  EXPECT_NE(alone[1], alone[2]);
  Engine engine(model, kBytes, {.slots = 9});
  Client client(engine);
  for (int i = 0; i < 9; ++i) {
    Job job = SomeJob(40, 1, 30);
    job.seed = 0;
    job.variant = {fmt::format("lora{}", i % 3), "", loras[i % 3], nullptr};
    job.marks = {{20, "twenty"}};  // no job must find that of another variant
    client.Submit(std::move(job));
  }
  for (size_t i = 0; i < 9; ++i) EXPECT_EQ(client.Wait(i).text, alone[i % 3]) << i;
}

TEST(EngineFeatures, ATextMayBeginWithATunedState) {
  const LoadedModel model = TinyModel();
  const State state = model.NewState(1);
  Prefill(*model.model, state, SomePrompt(30, 7));
  const auto tuned = std::make_shared<const Snapshot>(Snapshot{state.Save(0), {}, 0});
  GenerateOptions options;
  options.max_tokens = 20;
  options.past_end = true;
  options.resume = tuned.get();
  std::string text;
  options.on_text = [&](std::string_view piece) { text += piece; };
  Generate(model, kBytes, SomePrompt(10, 0), options);
  Engine engine(model, kBytes, {});
  Client client(engine);
  Job job = SomeJob(10, 0, 20);
  job.variant = {"", "tuned", nullptr, tuned};
  EXPECT_EQ(client.Run(std::move(job)).text, text);
}

}  // namespace
}  // namespace linnet

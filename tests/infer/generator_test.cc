#include "infer/generator.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "formats/refusal.h"
#include "infer/tiny_model.h"
#include "tensor/memory.h"

namespace linnet {
namespace {

struct GeneratedText {
  std::string text;
  Generation result;
};

GeneratedText Generated(const LoadedModel& model, const std::string& prompt, GenerateOptions options) {
  GeneratedText run;
  options.on_text = [&](std::string_view piece) { run.text += piece; };
  const BytesTokenizer tokenizer;
  run.result = Generate(model, tokenizer, tokenizer.Encode(prompt), options);
  return run;
}

GenerateOptions Options(int64_t tokens) {
  GenerateOptions options;
  options.max_tokens = tokens;
  options.past_end = true;
  options.seed = 11;
  return options;
}

TEST(Generate, GivesAsManyTokensAsAskedAndTheSameForTheSameSeed) {
  const LoadedModel model = TinyModel();
  const GeneratedText a = Generated(model, "abc", Options(50)), b = Generated(model, "abc", Options(50));
  EXPECT_EQ(a.text.size(), 50u);
  EXPECT_EQ(a.text, b.text);
  EXPECT_EQ(a.result.prompt_tokens, 3);
  EXPECT_EQ(a.result.tokens, 50);
  EXPECT_EQ(a.result.end, Generation::End::kLength);
  GenerateOptions other = Options(50);
  other.seed = 12;
  EXPECT_NE(Generated(model, "abc", other).text, a.text);
}

// Greedy text against a forward pass over all of it at once.
TEST(Generate, TokenByTokenAgreesWithTheParallelForm) {
  const LoadedModel model = TinyModel();
  GenerateOptions options = Options(40);
  options.sampler.temperature = 0;
  const std::string text = "abc" + Generated(model, "abc", options).text;
  const BytesTokenizer tokenizer;
  Batch batch;
  batch.Append(tokenizer.Encode(text), 0);
  const Tensor logits = model.model->Forward(batch, model.NewState(1));
  for (size_t i = 3; i < text.size(); ++i) {
    const float* row = logits.data() + (i - 1) * 256;
    EXPECT_EQ(std::max_element(row, row + 256) - row, static_cast<unsigned char>(text[i])) << i;
  }
}

TEST(Generate, PromptsLongerThanAChunkGiveTheSameLogits) {
  const LoadedModel model = TinyModel();
  std::vector<int> tokens(kPrefillRows * 2 + 17);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int>(i * i % 251);
  std::vector<int64_t> chunks;
  const Tensor chunked = Prefill(*model.model, model.NewState(1), tokens, 0, [&](int64_t done) {
    chunks.push_back(done);
    return true;
  });
  EXPECT_EQ(chunks, (std::vector<int64_t>{kPrefillRows, 2 * kPrefillRows, 2 * kPrefillRows + 17}));
  const State state = model.NewState(1);
  Tensor single;
  for (int token : tokens) single = Prefill(*model.model, state, {&token, 1});
  for (Dim i = 0; i < 256; ++i) EXPECT_NEAR(chunked.data()[i], single.data()[i], 1e-4) << i;
}

TEST(Generate, AnEmptyPromptIsTheEndOfTextToken) {
  const LoadedModel model = TinyModel();
  EXPECT_EQ(Generated(model, "", Options(30)).text, Generated(model, std::string(1, '\0'), Options(30)).text);
}

TEST(Generate, StopsBeforeAStopString) {
  const LoadedModel model = TinyModel();
  const std::string text = Generated(model, "abc", Options(60)).text;
  GenerateOptions options = Options(60);
  options.stops = {text.substr(20, 4)};
  const GeneratedText stopped = Generated(model, "abc", options);
  EXPECT_EQ(stopped.result.end, Generation::End::kStopString);
  EXPECT_EQ(stopped.text, text.substr(0, text.find(options.stops[0])));
  // The start of a stop string that never ends is text.
  options.stops = {text.substr(56) + "no such text"};
  EXPECT_EQ(Generated(model, "abc", options).text, text);
}

TEST(Generate, EndsAtTheEndOfTextTokenUnlessToldToGoOn) {
  const LoadedModel model = TinyModel();
  const std::string text = Generated(model, "abc", Options(4000)).text;
  const size_t zero = text.find('\0');
  ASSERT_NE(zero, std::string::npos) << "no token 0 in 4000: choose another seed";
  GenerateOptions options = Options(4000);
  options.past_end = false;
  const GeneratedText run = Generated(model, "abc", options);
  EXPECT_EQ(run.text, text.substr(0, zero));
  EXPECT_EQ(run.result.end, Generation::End::kEndOfText);
}

TEST(Generate, NoTokensAskedForReadsThePrompt) {
  const GeneratedText run = Generated(TinyModel(), "abcd", Options(0));
  EXPECT_EQ(run.text, "");
  EXPECT_EQ(run.result.prompt_tokens, 4);
}

TEST(Generate, AnInterruptEndsIt) {
  const LoadedModel model = TinyModel();
  std::atomic<bool> interrupted = true;
  GenerateOptions options = Options(1000);
  options.interrupted = &interrupted;
  GeneratedText run = Generated(model, std::string(3 * kPrefillRows, 'x'), options);
  EXPECT_EQ(run.result.end, Generation::End::kInterrupted);
  EXPECT_EQ(run.result.prompt_tokens, kPrefillRows);  // the rest of the prompt is not read either
  interrupted = false;
  options.on_progress = [&](int64_t, int64_t tokens) { interrupted = tokens == 5; };
  run = Generated(model, "x", options);
  EXPECT_EQ(run.result.end, Generation::End::kInterrupted);
  EXPECT_EQ(run.text.size(), 5u);
}

TEST(Generate, MemoryDoesNotGrowWithTheLength) {
  const LoadedModel model = TinyModel();
  size_t in_use = 0;
  GenerateOptions options = Options(2000);
  options.on_progress = [&](int64_t, int64_t tokens) {
    if (tokens == 100) {
      in_use = HostMemoryUse().in_use_bytes;
      ResetHostMemoryPeak();
    }
    if (tokens > 100) {
      EXPECT_EQ(HostMemoryUse().in_use_bytes, in_use) << tokens;
    }
  };
  const BytesTokenizer tokenizer;
  Generate(model, tokenizer, {1, 2, 3}, options);
}

TEST(Generate, RefusesWhatMakesNoSense) {
  const LoadedModel model = TinyModel();
  GenerateOptions options = Options(-1);
  EXPECT_TRUE(Refuses([&] { Generated(model, "a", options); }, "must be at least 0 but is -1"));
  options = Options(1);
  options.sampler.top_p = 2;
  EXPECT_TRUE(Refuses([&] { Generated(model, "a", options); }, "top-p"));
  options = Options(1);
  options.stops = {""};
  EXPECT_TRUE(Refuses([&] { Generated(model, "a", options); }, "stop string"));
  EXPECT_THROW(Generate(model, BytesTokenizer(), {300}, Options(1)), Error);
}

/// A snapshot that was written to a file and read back.
Snapshot ThroughFile(const LoadedModel& model, const Snapshot& snapshot) {
  const auto path = std::filesystem::temp_directory_path() / fmt::format("linnet-resume-{}", getpid());
  WriteSnapshot(path, model, "bytes", snapshot);
  ReadSnapshotResult read = ReadSnapshot(path, model, "bytes");
  std::filesystem::remove(path);
  EXPECT_EQ(read.warning, "");
  return read.snapshot;
}

void ExpectSame(const Snapshot& a, const Snapshot& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  ASSERT_EQ(a.variables.size(), b.variables.size());
  std::vector<std::pair<Tensor, Tensor>> pairs{{a.logits, b.logits}};
  for (size_t i = 0; i < a.variables.size(); ++i) pairs.push_back({a.variables[i], b.variables[i]});
  for (const auto& [x, y] : pairs) {
    ASSERT_EQ(x.shape(), y.shape());
    EXPECT_EQ(std::memcmp(x.raw(), y.raw(), x.bytes()), 0);
  }
}

TEST(Generate, ResumedIsUninterruptedToTheBit) {
  const LoadedModel model = TinyModel();
  Snapshot whole, half, end;
  GenerateOptions options = Options(40);
  options.sampler.temperature = 0;
  options.snapshot = &whole;
  const std::string text = Generated(model, "abc", options).text;
  for (int64_t first : {0, 1, 15}) {
    options.max_tokens = first;
    options.snapshot = &half;
    std::string parts = Generated(model, "abc", options).text;
    EXPECT_EQ(half.tokens, 3 + first);
    const Snapshot read = ThroughFile(model, half);
    GenerateOptions rest = options;
    rest.max_tokens = 40 - first;
    rest.resume = &read;
    rest.snapshot = &end;
    parts += Generated(model, "", rest).text;
    EXPECT_EQ(parts, text);
    ExpectSame(end, whole);
  }
}

/// Where the model stands after these bytes, read one by one.
Snapshot After(const LoadedModel& model, const std::string& text) {
  const State state = model.NewState(1);
  Tensor logits;
  for (const int token : BytesTokenizer().Encode(text)) logits = Prefill(*model.model, state, {&token, 1});
  return {state.Save(0), logits.Reshape({256}), static_cast<int64_t>(text.size())};
}

TEST(Generate, AStateHasSeenWhatWasShownAndNothingElse) {
  const LoadedModel model = TinyModel();
  GenerateOptions options = Options(40);
  options.sampler.temperature = 0.8;
  const std::string text = Generated(model, "abc", options).text;
  Snapshot end;
  options.snapshot = &end;
  for (const size_t at : {0, 1, 7, 20}) {
    for (const size_t length : {1, 2, 5}) {
      const std::string stop = text.substr(at, length);
      // Other stop strings, which nearly happen just before or within this one.
      options.stops = {text.substr(at, length - 1) + "\1\2\3", stop, text.substr(at / 2, at - at / 2) + "\1"};
      const GeneratedText stopped = Generated(model, "abc", options);
      ASSERT_EQ(stopped.result.end, Generation::End::kStopString);
      EXPECT_EQ(stopped.text, text.substr(0, text.find(stop)));
      const Snapshot expected = After(model, "abc" + stopped.text);
      EXPECT_EQ(end.tokens, expected.tokens);
      for (size_t i = 0; i < expected.variables.size(); ++i) {
        for (Dim n = 0; n < expected.variables[i].size(); ++n)
          ASSERT_NEAR(end.variables[i].data()[n], expected.variables[i].data()[n], 1e-5)
              << at << " " << length;
      }
    }
  }
}

TEST(Generate, AStateThatDoesNotKnowWhatFollowsNeedsAPrompt) {
  const LoadedModel model = TinyModel();
  const Snapshot mixture{model.NewState(1).Save(0), {}, 5};
  GenerateOptions options = Options(3);
  options.resume = &mixture;
  EXPECT_TRUE(Refuses([&] { Generated(model, "", options); }, "give it a prompt"));
  EXPECT_EQ(Generated(model, "a", options).text.size(), 3u);
  const Snapshot start{mixture.variables, {}, 0};
  options.resume = &start;
  const std::string text = Generated(model, "", options).text;
  options.resume = nullptr;
  EXPECT_EQ(Generated(model, "", options).text, text);
}

}  // namespace
}  // namespace linnet

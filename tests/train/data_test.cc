#include "train/data.h"

#include <gtest/gtest.h>

#include "cli/program.h"
#include "formats/binidx.h"
#include "train/refusal.h"

namespace linnet {
namespace {

Samples Ragged(const std::vector<int>& lengths) {
  Samples samples;
  int token = 0;
  for (int length : lengths) {
    std::vector<int> ids(length);
    for (int& id : ids) id = token++, samples.targets.push_back(id % 3 == 0 ? -1 : id);
    samples.batch.Append(ids, samples.batch.sequences());
  }
  return samples;
}

TEST(Data, PartsTogetherAreTheWhole) {
  const Samples whole = Ragged({5, 1, 9, 2, 2, 30, 7, 4});
  for (int parts : {1, 2, 3, 4, 8, 20}) {
    std::vector<int> tokens, targets;
    int sequences = 0;
    for (int part = 0; part < parts; ++part) {
      const Samples share = Share(whole, part, parts);
      EXPECT_EQ(ShareBegins(whole, part, parts), static_cast<int64_t>(tokens.size()))
          << part << " of " << parts;
      tokens.insert(tokens.end(), share.batch.tokens.begin(), share.batch.tokens.end());
      targets.insert(targets.end(), share.targets.begin(), share.targets.end());
      sequences += share.batch.sequences();
      if (share.batch.sequences() > 0) share.batch.Validate(share.batch.sequences());
    }
    EXPECT_EQ(tokens, whole.batch.tokens) << parts;
    EXPECT_EQ(targets, whole.targets) << parts;
    EXPECT_EQ(sequences, whole.batch.sequences()) << parts;
  }
}

TEST(Data, EqualSequencesAreSharedEqually) {
  const Samples whole = Ragged(std::vector<int>(12, 16));
  for (int parts : {2, 3, 4, 6, 12}) {
    for (int part = 0; part < parts; ++part) {
      EXPECT_EQ(Share(whole, part, parts).batch.sequences(), 12 / parts) << part << " of " << parts;
    }
  }
}

TEST(Data, MaskedTargetsDoNotCount) { EXPECT_EQ(CountTargets(Ragged({10})), 6); }

/// A binidx NAME of some documents.
void Write(const std::filesystem::path& name) {
  BinidxWriter writer(name, TokenType::kU16);
  for (int d = 0; d < 20; ++d) {
    writer.Append(std::vector<int>{65, 66, 67, 0});
    writer.EndDocument();
  }
  writer.Commit();
}

TEST(Data, EvaluationIsOfWholeFiles) {
  const TemporaryFolder folder;
  std::string counting;
  for (char c = 0; c < 100; ++c) counting += c;
  WriteFile(folder / "a", counting);
  WriteFile(folder / "b", counting.substr(0, 60));
  const std::vector<std::string> files{folder / "a", folder / "b"};
  const DataOptions options{.ctx = 20, .batch = 3};
  const std::vector<Samples> all = EvaluationSamples(files, options, 1000);
  ASSERT_EQ(all.size(), 2u);  // 4 samples of a, 2 of b, as a target follows each token
  EXPECT_EQ(all[0].batch.sequences(), 3);
  EXPECT_EQ(all[0].batch.tokens.front(), 0);
  EXPECT_EQ(all[1].targets.back(), 40);
  EXPECT_EQ(EvaluationSamples(files, options, 40)[0].batch.sequences(), 2);
  EXPECT_TRUE(EvaluationSamples({}, options, 1000).empty());
}

TEST(Data, NamesTellTextFromBinidx) {
  const TemporaryFolder folder;
  Write(folder / "a");
  for (const char* name : {"a", "a.bin", "a.idx"}) {
    EXPECT_EQ(OpenDataset({folder / name}, {.ctx = 4})->training_tokens(), 80) << name;
  }
  // As bytes: a file with the name, though there is an index, and a .bin that has none.
  WriteFile(folder / "a", std::string(50, 'x'));
  EXPECT_EQ(OpenDataset({folder / "a"}, {.ctx = 4})->training_tokens(), 50);
  WriteFile(folder / "b.bin", std::string(30, 'x'));
  EXPECT_EQ(OpenDataset({folder / "b.bin"}, {.ctx = 4})->training_tokens(), 30);
}

TEST(Data, WhatDoesNotFitIsRefused) {
  const TemporaryFolder folder;
  Write(folder / "a");
  WriteFile(folder / "text", std::string(50, 'x'));
  const std::string a = folder / "a.bin", text = folder / "text";
  EXPECT_TRUE(Refused([&] { OpenDataset({a, text}, {}); }, {a, "linnet data merge"}));
  EXPECT_TRUE(Refused([&] { OpenDataset({a}, {.tokenizer = "small", .ids = 60}); },
                      {"a.bin", "token 67", "--tokenizer small", "0 to 59"}));
  EXPECT_TRUE(Refused([&] { OpenDataset({text}, {.tokenizer = "world", .ids = 65530}); },
                      {text, "linnet data prepare " + text, "--tokenizer world"}));
  EXPECT_TRUE(Refused([&] { OpenDataset({text}, {.pack = "stream"}); }, {text, "--pack stream"}));
  EXPECT_TRUE(Refused([&] { OpenDataset({}, {}); }, {"--data"}));
}

TEST(Data, EvaluationSamplesAreAllOfAFile) {
  const TemporaryFolder folder;
  Write(folder / "a");
  WriteFile(folder / "text", std::string(50, 'x'));
  const DataOptions options{.ctx = 8, .batch = 2, .pack = "stream"};
  int64_t tokens = 0;
  for (const Samples& samples : EvaluationSamples({folder / "a"}, options, 1 << 20))
    tokens += CountTargets(samples);
  EXPECT_EQ(tokens, 80);
  tokens = 0;
  for (const Samples& samples : EvaluationSamples({folder / "text"}, options, 1 << 20))
    tokens += CountTargets(samples);
  EXPECT_EQ(tokens, 48);
}

}  // namespace
}  // namespace linnet

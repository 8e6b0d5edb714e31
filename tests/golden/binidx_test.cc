// binidx against what RWKV-LM's tools wrote and its loader drew (golden part E).
#include "formats/binidx.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "golden/golden.h"
#include "text/tokenizer_of.h"
#include "train/data.h"
#include "train/prepare.h"
#include "train/sample_order.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

fs::path Folder() { return golden::Folder() / "E_binidx"; }

json Expected() {
  std::ifstream file(Folder() / "samples.json");
  return json::parse(file);
}

fs::path WorldVocabulary() { return golden::Folder() / "../data/tokenizers/rwkv_vocab_v20230424.txt"; }

std::vector<int> Document(const Binidx& data, int64_t document) {
  std::vector<int> ids(data.length(document));
  data.Read(data.begin(document), ids);
  return ids;
}

TEST(GoldenBinidx, ReadsDocuments) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  const json expected = Expected();
  const Binidx data = Binidx::Open(Folder() / "docs");
  EXPECT_EQ(data.type(), TokenType::kU16);
  EXPECT_EQ(data.tokens(), expected["tokens"]);
  ASSERT_EQ(data.documents(), expected["documents"]);
  for (int64_t d = 0; d < data.documents(); ++d) {
    const std::vector<int> ids = Document(data, d);
    EXPECT_EQ(ids.size(), expected["doc_sizes"][d]);
    EXPECT_EQ(ids.back(), 0);
  }
  const json& firsts = expected["doc_first_tokens"];
  EXPECT_GT(firsts.size(), 5u);
  for (size_t d = 0; d < firsts.size(); ++d) {
    std::vector<int> ids = Document(data, static_cast<int64_t>(d));
    ids.resize(firsts[d].size());
    EXPECT_EQ(ids, firsts[d].get<std::vector<int>>());
  }
  const Binidx wide = Binidx::Open(Folder() / "docs_int32");
  EXPECT_EQ(wide.type(), TokenType::kI32);
  ASSERT_EQ(wide.documents(), 12);
  for (int64_t d = 0; d < 12; ++d) EXPECT_EQ(Document(wide, d), Document(data, d));
}

TEST(GoldenBinidx, WritesTheSameBytes) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  if (!fs::exists(WorldVocabulary())) GTEST_SKIP() << WorldVocabulary() << " is not there";
  const TemporaryFolder folder;
  const auto tokenizer = OpenTokenizerFile(WorldVocabulary());
  const Prepared done = PrepareData({.inputs = {Folder() / "docs.jsonl"},
                                     .out = folder / "docs",
                                     .tokenizer = tokenizer.get(),
                                     .chat = &FindChatTemplate("world"),
                                     .on_progress = nullptr});
  EXPECT_EQ(done.documents, Expected()["documents"]);
  for (const char* file : {"docs.bin", "docs.idx"}) {
    EXPECT_TRUE(ReadFile(folder / file) == ReadFile(Folder() / file)) << file;
  }
  BinidxWriter wide(folder / "docs_int32", TokenType::kI32);
  const Binidx data = Binidx::Open(folder / "docs");
  for (int64_t d = 0; d < 12; ++d) {
    wide.Append(Document(data, d));
    wide.EndDocument();
  }
  wide.Commit();
  for (const char* file : {"docs_int32.bin", "docs_int32.idx"}) {
    EXPECT_TRUE(ReadFile(folder / file) == ReadFile(Folder() / file)) << file;
  }
}

TEST(GoldenBinidx, SamplesComeInTheReferencesOrder) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  constexpr int64_t kEpoch = 40320;
  const json expected = Expected();
  const int64_t ctx = expected["ctx_len"];
  const SampleOrder order(expected["tokens"], ctx);
  EXPECT_EQ(order.prime(), expected["magic_prime"]);
  const auto data =
      OpenDataset({Folder() / "docs"}, {.ctx = ctx, .batch = 1, .pack = "stream", .ids = 65536});
  ASSERT_GT(expected["samples"].size(), 100u);
  for (const json& sample : expected["samples"]) {
    const int64_t world = sample["world_size"], rank = sample["rank"], epoch = sample["epoch"],
                  index = sample["idx"];
    const int64_t n = epoch * kEpoch + index * world + rank;
    EXPECT_EQ(order.Offset(n), sample["offset"]) << sample.dump();
    DataPosition position;
    const Samples drawn = data->Draw(n, position).front();
    EXPECT_EQ(std::vector(drawn.batch.tokens.begin(), drawn.batch.tokens.begin() + 4),
              sample["x_first4"].get<std::vector<int>>());
    EXPECT_EQ(std::vector(drawn.targets.end() - 4, drawn.targets.end()),
              sample["y_last4"].get<std::vector<int>>());
    int64_t sum = 0;
    for (int id : drawn.batch.tokens) sum += id;
    EXPECT_EQ(sum, sample["x_sum"]);
  }
}

}  // namespace
}  // namespace linnet

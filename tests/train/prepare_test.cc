#include "train/prepare.h"

#include <gtest/gtest.h>

#include "base/parallel.h"
#include "base/random.h"
#include "cli/program.h"
#include "formats/binidx.h"
#include "text/tokenizer_files.h"
#include "text/world.h"
#include "train/rearrange.h"
#include "train/refusal.h"

namespace linnet {
namespace {

/// The documents of a binidx as text, tokens that are not learnt in brackets.
std::vector<std::string> Texts(const std::filesystem::path& name, const Tokenizer& tokenizer) {
  const Binidx data = Binidx::Open(name);
  std::vector<std::string> texts;
  for (int64_t d = 0; d < data.documents(); ++d) {
    std::string text;
    for (int64_t i = data.begin(d); i < data.begin(d + 1); ++i) {
      const int id = data.Token(i);
      const std::string token = id == 0 ? "$" : tokenizer.Decode({&id, 1});
      text += data.Learnt(i) ? token : "(" + token + ")";
    }
    texts.push_back(text);
  }
  return texts;
}

class PrepareTest : public testing::Test {
 protected:
  Prepared Prepare(const std::vector<std::string>& names, const Tokenizer& tokenizer, bool mask = true,
                   const std::string& out = "out") {
    std::vector<std::string> inputs;
    for (const std::string& name : names) inputs.push_back(folder_ / name);
    return PrepareData({.inputs = inputs,
                        .out = folder_ / out,
                        .tokenizer = &tokenizer,
                        .chat = &FindChatTemplate("qa"),
                        .mask = mask,
                        .on_progress = nullptr});
  }
  void Save(const std::string& name, const std::string& text) {
    std::filesystem::create_directories((folder_ / name).parent_path());
    WriteFile(folder_ / name, text);
  }

  TemporaryFolder folder_;
  BytesTokenizer bytes_;
};

TEST_F(PrepareTest, FilesLinesAndFoldersBecomeDocuments) {
  Save("one", "ab");
  Save("lines.jsonl", "{\"text\":\"c\"}\n\n {\"text\":\"\"}\r\n{\"text\":\"d\"}");
  Save("f/2.md", "m");
  Save("f/1/x.txt", "t");
  Save("f/1/y.jsonl", "{\"text\":\"j\"}\n");
  Save("f/1/z.cc", "no");
  Save("f/1/empty.txt", "");
  const Prepared done = Prepare({"one", "lines.jsonl", "f"}, bytes_);
  EXPECT_EQ(Texts(folder_ / "out", bytes_),
            (std::vector<std::string>{"ab$", "c$", "$", "d$", "t$", "j$", "m$"}));
  EXPECT_EQ(done.documents, 7);
  EXPECT_EQ(done.tokens, 14);
  EXPECT_EQ(done.learnt, 14);
  EXPECT_EQ(done.files, 5);
  EXPECT_EQ(done.bytes, 2 + 40 + 1 + 1 + 13);
}

TEST_F(PrepareTest, ConversationsGetAMask) {
  Save("a.jsonl", "{\"text\":\"t\"}\n{\"question\":\"q\",\"answer\":\"xy\"}\n{\"text\":\"u\"}\n");
  const Prepared done = Prepare({"a.jsonl"}, bytes_);
  EXPECT_EQ(Texts(folder_ / "out", bytes_),
            (std::vector<std::string>{"t$", "(\n)(Q)(:)( )(q)(\n)(A)(:) xy$", "u$"}));
  EXPECT_EQ(done.tokens - done.learnt, 8);
  EXPECT_EQ(Binidx::Open(folder_ / "out").chat_template(), "qa");
  Prepare({"a.jsonl"}, bytes_, /*mask=*/false);
  EXPECT_FALSE(Binidx::Open(folder_ / "out").has_mask());
}

TEST_F(PrepareTest, TheEndOfAnAnswerThatBreaksOffIsMasked) {
  const std::string open =
      R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"xy"}],"end":false})";
  Save("a.jsonl", "{\"text\":\"t\"}\n" + open + "\n{\"text\":\"u\"}\n");
  Prepare({"a.jsonl"}, bytes_);
  EXPECT_EQ(Texts(folder_ / "out", bytes_),
            (std::vector<std::string>{"t$", "(\n)(Q)(:)( )(q)(\n)(A)(:) xy($)", "u$"}));
  Prepare({"a.jsonl"}, bytes_, /*mask=*/false);
  EXPECT_FALSE(Binidx::Open(folder_ / "out").has_mask());
}

TEST_F(PrepareTest, BorderTokensBelongToWhatTheyBeginWith) {
  // An answer ends with "\n\n" of "\n\nQ: c", in which the token "\nQ" begins.
  const WorldTokenizer tokenizer("t",
                                 ParseWorldVocabulary(SmallWorld(256) + "257 '\\nQ' 2\n258 ': ' 2\n", "t"));
  const std::string line = R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},)"
                           R"({"role":"user","content":"c"},{"role":"assistant","content":"d"}]})";
  Save("a.jsonl", line);
  Prepare({"a.jsonl"}, tokenizer);
  EXPECT_EQ(Texts(folder_ / "out", tokenizer),
            (std::vector<std::string>{"(\nQ)(: )(a)(\n)(A)(:) b\n\nQ(: )(c)(\n)(A)(:) d$"}));
}

// Blocks, threads and long files leave no trace in what is written.
TEST_F(PrepareTest, TheSameWhateverTheThreads) {
  Random random(4);
  std::string lines;
  size_t documents = 0;
  while (lines.size() < 9'000'000) {
    std::string text;
    for (uint64_t i = random.Below(5000); i > 0; --i) text += static_cast<char>('a' + random.Below(26));
    lines += "{\"text\":\"" + text + "\"}\n";
    ++documents;
  }
  Save("a.jsonl", lines);
  Save("long.txt", lines.substr(0, 3'000'000));
  Save("short.txt", "short");
  const int threads = Threads();
  SetThreads(1);
  Prepare({"short.txt", "a.jsonl", "long.txt", "short.txt"}, bytes_, true, "one");
  SetThreads(threads);
  Prepare({"short.txt", "a.jsonl", "long.txt", "short.txt"}, bytes_, true, "many");
  EXPECT_TRUE(ReadFile(folder_ / "one.bin") == ReadFile(folder_ / "many.bin"));
  EXPECT_TRUE(ReadFile(folder_ / "one.idx") == ReadFile(folder_ / "many.idx"));
  const Binidx data = Binidx::Open(folder_ / "many");
  ASSERT_EQ(data.documents(), static_cast<int64_t>(documents + 3));
  EXPECT_EQ(data.length(0), 6);
  EXPECT_EQ(data.length(data.documents() - 2), 3'000'001);
  std::vector<int> ids(3'000'000);
  data.Read(data.begin(data.documents() - 2), ids);
  EXPECT_TRUE(bytes_.Decode(ids) == lines.substr(0, 3'000'000));
}

TEST_F(PrepareTest, WhatCannotBeReadIsNamed) {
  Save("bad.jsonl", "{\"text\":\"a\"}\n\n{\"txt\":\"a\"}\n");
  EXPECT_TRUE(Refused([&] { Prepare({"bad.jsonl"}, bytes_); }, {"bad.jsonl:3: ", "\"text\""}));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out.bin"));
  EXPECT_TRUE(Refused([&] { Prepare({"none"}, bytes_); }, {"none: cannot be opened"}));
  Save("empty.txt", "");
  EXPECT_TRUE(Refused([&] { Prepare({"empty.txt"}, bytes_); }, {"empty.txt: the file is empty"}));
  Save("f/a.cc", "x");
  EXPECT_TRUE(Refused([&] { Prepare({"f"}, bytes_); }, {"/f: there is no .jsonl, .txt or .md"}));
  Save("blank.jsonl", "\n \n");
  EXPECT_TRUE(Refused([&] { Prepare({"blank.jsonl"}, bytes_); }, {"out.bin", "nothing to write"}));
}

TEST_F(PrepareTest, DocumentsMoveWithTheirMarks) {
  Save("a.jsonl", "{\"text\":\"t\"}\n{\"question\":\"q\",\"answer\":\"x\"}\n{\"text\":\"u\"}\n");
  Save("b.txt", "bb");
  Prepare({"a.jsonl"}, bytes_, true, "a");
  Prepare({"b.txt"}, bytes_, true, "b");
  const auto quiet = [](int64_t, int64_t) {};
  const auto open = [&](const char* name) { return Binidx::Open(folder_ / name); };
  MergeData({open("b"), open("a"), open("b")}, folder_ / "all", quiet);
  const std::string chat = "(\n)(Q)(:)( )(q)(\n)(A)(:) x$";
  EXPECT_EQ(Texts(folder_ / "all", bytes_), (std::vector<std::string>{"bb$", "t$", chat, "u$", "bb$"}));

  ShuffleData(open("all"), folder_ / "mixed", 2, quiet);
  std::vector<std::string> mixed = Texts(folder_ / "mixed", bytes_);
  EXPECT_NE(mixed, Texts(folder_ / "all", bytes_));
  std::sort(mixed.begin(), mixed.end());
  EXPECT_EQ(mixed, (std::vector<std::string>{chat, "bb$", "bb$", "t$", "u$"}));

  SplitData(open("all"), folder_ / "x", folder_ / "y", 0.4, 1, quiet);
  std::vector<std::string> parts = Texts(folder_ / "x", bytes_), held_out = Texts(folder_ / "y", bytes_);
  EXPECT_EQ(parts.size(), 3u);
  EXPECT_EQ(held_out.size(), 2u);
  parts.insert(parts.end(), held_out.begin(), held_out.end());
  std::sort(parts.begin(), parts.end());
  EXPECT_EQ(parts, mixed);
  EXPECT_TRUE(Refused([&] { SplitData(open("b"), folder_ / "x", folder_ / "y", 0.4, 1, quiet); },
                      {"--held-out 0.4", "1 of 1"}));

  BinidxWriter other(folder_ / "other", TokenType::kI32, "g1");
  other.Append(std::vector<int>{70000, 0}, std::vector<uint8_t>{0, 1});
  other.EndDocument();
  other.Commit();
  EXPECT_TRUE(Refused(
      [&] {
        MergeData({open("a"), open("other")}, folder_ / "z", quiet);
      },
      {"other.mask", "g1", "a.mask", "qa"}));
  MergeData({open("b"), open("other")}, folder_ / "wide", quiet);
  EXPECT_EQ(open("wide").type(), TokenType::kI32);
  EXPECT_EQ(open("wide").Token(3), 70000);
}

}  // namespace
}  // namespace linnet

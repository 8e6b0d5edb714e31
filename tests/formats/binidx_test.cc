#include "formats/binidx.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "cli/program.h"
#include "formats/refusal.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

/// Documents {1, 2, 0}, {}, {7, 0}.
void Write(const fs::path& name, TokenType type = TokenType::kU16, const std::vector<uint8_t>& learnt = {}) {
  BinidxWriter writer(name, type, "qa");
  writer.Append(std::vector<int>{1, 2});
  writer.Append(std::vector<int>{0});
  writer.EndDocument();
  writer.EndDocument();
  writer.Append(std::vector<int>{7, 0}, learnt);
  writer.EndDocument();
  writer.Commit();
}

std::vector<int> All(const Binidx& data) {
  std::vector<int> ids(data.tokens());
  data.Read(0, ids);
  return ids;
}

TEST(Binidx, ReadsWhatItWrote) {
  const TemporaryFolder folder;
  for (const TokenType type :
       {TokenType::kU8, TokenType::kI8, TokenType::kI16, TokenType::kI32, TokenType::kI64, TokenType::kU16}) {
    Write(folder / "a", type);
    for (const char* name : {"a", "a.bin", "a.idx"}) {
      const Binidx data = Binidx::Open(folder / name);
      EXPECT_EQ(data.type(), type);
      EXPECT_EQ(All(data), (std::vector<int>{1, 2, 0, 7, 0})) << Name(type);
      ASSERT_EQ(data.documents(), 3);
      EXPECT_EQ(data.begin(0), 0);
      EXPECT_EQ(data.length(1), 0);
      EXPECT_EQ(data.begin(2), 3);
      EXPECT_EQ(data.begin(3), 5);
      EXPECT_EQ(data.IdRange().least, 0);
      EXPECT_EQ(data.IdRange().most, 7);
      EXPECT_FALSE(data.has_mask());
      EXPECT_TRUE(data.Learnt(4));
      EXPECT_THROW(data.Token(5), Error);
      EXPECT_THROW(data.Token(-1), Error);
    }
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder / ""), {}), 2) << "something was left behind";
}

// Written out by hand from the description of the format.
TEST(Binidx, TheBytesAreThoseOfTheFormat) {
  const TemporaryFolder folder;
  Write(folder / "a");
  EXPECT_EQ(ReadFile(folder / "a.bin"), std::string("\1\0\2\0\0\0\7\0\0\0", 10));
  std::string index("MMIDIDX\0\0\1\0\0\0\0\0\0\0\x08", 18);
  const auto put = [&](uint64_t value, int bytes) {
    index.append(reinterpret_cast<const char*>(&value), bytes);
  };
  put(3, 8), put(4, 8);
  for (int size : {3, 0, 2}) put(size, 4);
  for (int at : {0, 6, 6}) put(at, 8);
  for (int item : {0, 1, 2, 3}) put(item, 8);
  EXPECT_EQ(ReadFile(folder / "a.idx"), index);
}

TEST(Binidx, MasksKeepWhatIsLearnt) {
  const TemporaryFolder folder;
  Write(folder / "a", TokenType::kU16, {0, 1});
  const Binidx data = Binidx::Open(folder / "a");
  ASSERT_TRUE(data.has_mask());
  EXPECT_EQ(data.chat_template(), "qa");
  std::vector<int> learnt;
  for (int i = 0; i < 5; ++i) learnt.push_back(data.Learnt(i));
  EXPECT_EQ(learnt, (std::vector<int>{1, 1, 1, 0, 1}));
  EXPECT_EQ(data.CountLearnt(0, 5), 4);
  EXPECT_EQ(data.CountLearnt(3, 4), 0);

  std::string mask = ReadFile(folder / "a.mask");
  EXPECT_EQ(mask.size(), 65u);
  EXPECT_EQ(mask.back(), 0b10111);
  WriteFile(folder / "a.mask", mask + "x");
  EXPECT_TRUE(Refuses([&] { Binidx::Open(folder / "a"); }, "a.mask", "66 bytes", "65"));
  mask[3] = 'X';
  WriteFile(folder / "a.mask", mask);
  EXPECT_TRUE(Refuses([&] { Binidx::Open(folder / "a"); }, "a.mask", "no"));

  Write(folder / "a");
  EXPECT_FALSE(fs::exists(folder / "a.mask")) << "the mask of older data";
}

TEST(Binidx, ManyTokensCountAsFew) {
  const TemporaryFolder folder;
  BinidxWriter writer(folder / "a", TokenType::kI32);
  std::vector<int> ids, marks;
  int64_t learnt = 0;
  for (int i = 0; i < 200'003; ++i) {
    const auto mark = static_cast<uint8_t>(i % 7 < 3);
    ids.push_back(i * 3);
    writer.Append(std::span(ids).last(1), {&mark, 1});
    if (i >= 5 && i < 199'991) learnt += mark;
    if (i % 1000 == 999) writer.EndDocument();
  }
  writer.EndDocument();
  writer.Commit();
  const Binidx data = Binidx::Open(folder / "a");
  EXPECT_EQ(All(data), ids);
  EXPECT_EQ(data.IdRange().most, 600'006);
  EXPECT_EQ(data.documents(), 201);
  EXPECT_EQ(data.CountLearnt(5, 199'991), learnt);
}

TEST(Binidx, WritesNothingThatItCannotRead) {
  const TemporaryFolder folder;
  const fs::path name = folder / "a";
  EXPECT_TRUE(Refuses([&] { BinidxWriter(name, TokenType::kU16).Append(std::vector<int>{65536}); }, "a.bin",
                      "token 65536", "u16"));
  EXPECT_TRUE(Refuses(
      [&] {
        BinidxWriter(name, TokenType::kU16).Append(std::vector<int>{3, -1});
      },
      "token -1"));
  EXPECT_TRUE(Refuses([&] { BinidxWriter(name, TokenType::kU16).Commit(); }, "a.bin", "nothing to write"));
  EXPECT_TRUE(Refuses(
      [&] {
        BinidxWriter writer(name, TokenType::kU16);
        writer.Append(std::vector<int>{1});
        writer.Commit();
      },
      "not ended"));
  EXPECT_TRUE(Refuses([&] { BinidxWriter(folder / "none/a", TokenType::kU16); }, "none/a.bin"));
  EXPECT_TRUE(fs::is_empty(folder / ""));
}

TEST(Binidx, IdsBeyondTheVocabularyAreNamed) {
  const TemporaryFolder folder;
  Write(folder / "a");
  const Binidx data = Binidx::Open(folder / "a");
  EXPECT_NO_THROW(data.CheckIds(8, "t"));
  EXPECT_TRUE(Refuses([&] { data.CheckIds(7, "bytes"); }, "a.bin", "token 7", "bytes", "0 to 6"));
  BinidxWriter writer(folder / "b", TokenType::kI16);
  writer.Append(std::vector<int>{4, -5, 4});
  writer.EndDocument();
  writer.Commit();
  EXPECT_TRUE(Refuses([&] { Binidx::Open(folder / "b").CheckIds(100, "t"); }, "b.bin", "token -5"));
}

/// A sound pair of files, and what opening it says after one of them was changed.
class BrokenBinidx : public testing::Test {
 protected:
  BrokenBinidx() {
    Write(folder_ / "a");
    index_ = ReadFile(folder_ / "a.idx");
    tokens_ = ReadFile(folder_ / "a.bin");
  }

  template <class T>
  static std::function<void(std::string&)> Put(size_t at, T value) {
    return [=](std::string& file) { std::memcpy(file.data() + at, &value, sizeof value); };
  }

  template <class... Parts>
  testing::AssertionResult IndexRefused(const std::function<void(std::string&)>& change,
                                        const Parts&... parts) {
    std::string index = index_;
    change(index);
    WriteFile(folder_ / "a.idx", index);
    return Refuses([&] { Binidx::Open(folder_ / "a"); }, "a.idx", parts...);
  }

  TemporaryFolder folder_;
  std::string index_, tokens_;
};

TEST_F(BrokenBinidx, IndexesAreChecked) {
  EXPECT_TRUE(IndexRefused([](std::string& s) { s[0] = 'X'; }, "MMIDIDX"));
  EXPECT_TRUE(IndexRefused(Put<uint64_t>(9, 2), "version 2"));
  EXPECT_TRUE(IndexRefused(Put<uint8_t>(17, 9), "unknown type 9"));
  EXPECT_TRUE(IndexRefused(Put<uint8_t>(17, 0), "unknown type 0"));
  EXPECT_TRUE(IndexRefused(Put<uint8_t>(17, 6), "floating-point"));
  EXPECT_TRUE(IndexRefused(Put<uint64_t>(18, 4), "4 items", "cut short"));
  EXPECT_TRUE(IndexRefused(Put<uint64_t>(18, uint64_t{1} << 62), "cut short"));
  EXPECT_TRUE(IndexRefused(Put<uint64_t>(26, uint64_t{1} << 61), "cut short"));
  EXPECT_TRUE(IndexRefused([](std::string& s) { s.pop_back(); }, "cut short"));
  EXPECT_TRUE(IndexRefused([](std::string& s) { s.resize(20); }, "cut short"));
  EXPECT_TRUE(IndexRefused([](std::string& s) { s += 'x'; }, "cut short"));
  EXPECT_TRUE(IndexRefused(Put<int32_t>(34, -3), "item 0 has -3 tokens"));
  EXPECT_TRUE(IndexRefused(Put<int64_t>(46, 4), "item 0 begins at byte 4"));
  EXPECT_TRUE(IndexRefused(Put<int64_t>(54, -6), "item 1 begins at byte -6", "ends at 6"));
  EXPECT_TRUE(IndexRefused(Put<int64_t>(70, 1), "first document begins with item 1"));
  EXPECT_TRUE(IndexRefused(Put<int64_t>(78, int64_t{1} << 40), "document 1 begins with"));
  EXPECT_TRUE(IndexRefused(Put<int64_t>(94, 2), "items of 3"));
}

TEST_F(BrokenBinidx, TokensMustBeThoseOfTheIndex) {
  WriteFile(folder_ / "a.bin", tokens_.substr(0, 9));
  EXPECT_TRUE(Refuses([&] { Binidx::Open(folder_ / "a"); }, "a.bin: is cut short", "9 bytes", "10"));
  WriteFile(folder_ / "a.bin", tokens_ + "xy");
  EXPECT_TRUE(Refuses([&] { Binidx::Open(folder_ / "a"); }, "a.bin", "12 bytes", "do not belong together"));
  WriteFile(folder_ / "a.bin", "");
  EXPECT_TRUE(Refuses([&] { Binidx::Open(folder_ / "a"); }, "a.bin: the file is empty"));
  fs::remove(folder_ / "a.bin");
  EXPECT_TRUE(Refuses([&] { Binidx::Open(folder_ / "a"); }, "a.bin: cannot be opened"));
  EXPECT_TRUE(Refuses([&] { Binidx::Open(folder_ / "none"); }, "none.idx: cannot be opened"));
}

}  // namespace
}  // namespace linnet

// The published test sets are read whole, where they lie beside the golden data.
#include <set>

#include "cli/program.h"
#include "golden/golden.h"
#include "infer/mmlu.h"

namespace linnet {
namespace {

class EvalData : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::is_directory(folder_)) GTEST_SKIP() << "no data in " << folder_;
  }
  const std::filesystem::path folder_ = golden::Folder() / ".." / "data" / "eval";
};

TEST_F(EvalData, Lambada) {
  const auto completions = ReadCompletions(folder_ / "lambada_test.jsonl");
  EXPECT_EQ(completions.size(), 5153u);
  for (const CompletionText& completion : completions) {
    EXPECT_EQ(completion.target.find(' ', 1), std::string::npos);
    EXPECT_GT(completion.context.size(), 20u);
  }
}

TEST_F(EvalData, HellaSwagPairs) {
  const auto pairs =
      ReadPairs(folder_ / "hellaswag_val_correct.800.txt", folder_ / "hellaswag_val_wrong.800.txt");
  EXPECT_EQ(pairs.size(), 800u);
  size_t common = 0;  // texts of a pair begin with the same context
  for (const auto& [right, wrong] : pairs) common += right.substr(0, 10) == wrong.substr(0, 10);
  EXPECT_EQ(common, 800u);
}

TEST_F(EvalData, Mmlu) {
  const TemporaryFolder folder;
  const std::string command =
      fmt::format("tar --zstd -xf {} -C {} 2>{}", Quoted(folder_ / "mmlu-dev-test-csv.tar.zst"),
                  Quoted(folder / ""), Quoted(folder / "tar.log"));
  if (std::system(command.c_str()) != 0) GTEST_SKIP() << "tar cannot unpack .zst here";
  const auto dev = ReadMmlu(folder / "mmlu" / "dev"), test = ReadMmlu(folder / "mmlu" / "test");
  ASSERT_EQ(dev.size(), 57u);
  ASSERT_EQ(test.size(), 57u);
  size_t questions = 0;
  std::set<int> answers;
  for (size_t i = 0; i < test.size(); ++i) {
    EXPECT_EQ(test[i].name, dev[i].name);
    EXPECT_EQ(dev[i].items.size(), 5u) << dev[i].name;
    questions += test[i].items.size();
    for (const MmluItem& item : test[i].items) {
      EXPECT_EQ(item.choices.size(), 4u);
      answers.insert(item.answer);
    }
  }
  EXPECT_EQ(questions, 14042u);
  EXPECT_EQ(answers, (std::set<int>{0, 1, 2, 3}));
}

}  // namespace
}  // namespace linnet

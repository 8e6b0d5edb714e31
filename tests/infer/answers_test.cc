// The measure of answers: words, F1, and which pair's answer is nearest.
#include "infer/answers.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/check.h"

namespace linnet {
namespace {

std::filesystem::path File(const std::string& name, const std::string& text) {
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / name;
  std::ofstream(path) << text;
  return path;
}

double F1Of(const std::string& a, const std::string& b) { return F1(WordBag(a), WordBag(b)); }

TEST(WordBag, F1CountsSharedWords) {
  EXPECT_EQ(F1Of("the finch sings", "The finch, sings!"), 1);  // neither case nor marks count
  EXPECT_EQ(F1Of("the finch sings", "a stone"), 0);
  EXPECT_EQ(F1Of("", ""), 0);
  EXPECT_EQ(F1Of("", "a stone"), 0);
  EXPECT_DOUBLE_EQ(F1Of("the finch", "the finch sings now"), 2 * 2 / 6.0);
  EXPECT_DOUBLE_EQ(F1Of("a a a b", "a b b b"), 2 * 2 / 8.0);  // each word as often as both have it
  EXPECT_DOUBLE_EQ(F1Of("RWKV-7", "RWKV-6"), 2 * 1 / 4.0);
  EXPECT_EQ(F1Of("one", "sings the finch"), F1Of("sings the finch", "one"));
}

class TaughtAnswersTest : public testing::Test {
 protected:
  const TaughtAnswers taught_{File("answers_test_pairs.jsonl",
                                   R"({"id": "finch", "answer": "A finch is a small bird that sings."}
{"id": "stone", "answer": "A stone is a hard thing that lies still."}
{"id": "gull", "answer": "A gull is a large bird that cries."}
)")};
};

TEST_F(TaughtAnswersTest, TheRightPairMustBeTheNearest) {
  const auto right = taught_.Judge("finch", "A finch is a small bird that sings.\n");
  EXPECT_TRUE(right.right);
  EXPECT_EQ(right.f1, 1);
  EXPECT_EQ(right.nearest, "finch");
  const auto wrong = taught_.Judge("gull", "A finch is a small bird that sings.");
  EXPECT_FALSE(wrong.right);
  EXPECT_EQ(wrong.nearest, "finch");
  EXPECT_DOUBLE_EQ(wrong.f1, 2 * 5 / 16.0);  // a, is, a, bird, that: more than half, and yet wrong
}

TEST_F(TaughtAnswersTest, HalfTheWordsMustBeThere) {
  EXPECT_TRUE(taught_.Judge("finch", "A finch sings small").right);  // 2 * 4 / 12
  EXPECT_FALSE(taught_.Judge("finch", "finch").right);               // nearest, but 2 / 9
  EXPECT_EQ(taught_.Judge("finch", "finch").nearest, "finch");
  EXPECT_FALSE(taught_.Judge("finch", "").right);
}

TEST_F(TaughtAnswersTest, MistakesAreNamed) {
  EXPECT_THROW(taught_.Judge("owl", "A bird."), Error);
  EXPECT_THROW(
      TaughtAnswers(File("answers_test_twice.jsonl",
                         "{\"id\": \"a\", \"answer\": \"b\"}\n{\"id\": \"a\", \"answer\": \"c\"}\n")),
      Error);
  EXPECT_THROW(TaughtAnswers(File("answers_test_none.jsonl", "{\"id\": \"a\"}\n")), Error);
  EXPECT_THROW(ReadAskedQuestions(File("answers_test_empty.jsonl", "\n")), Error);
  const auto questions = ReadAskedQuestions(
      File("answers_test_asked.jsonl", "{\"id\": \"finch\", \"question\": \"What sings?\"}\n"));
  ASSERT_EQ(questions.size(), 1u);
  EXPECT_EQ(questions[0].id, "finch");
  EXPECT_EQ(questions[0].question, "What sings?");
}

}  // namespace
}  // namespace linnet

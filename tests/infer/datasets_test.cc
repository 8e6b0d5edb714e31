#include "infer/datasets.h"

#include <gtest/gtest.h>

#include "cli/program.h"
#include "infer/mmlu.h"

namespace linnet {
namespace {

class DataFiles : public testing::Test {
 protected:
  std::filesystem::path File(const std::string& name, const std::string& bytes) const {
    WriteFile(folder_ / name, bytes);
    return folder_ / name;
  }
  /// Reading must throw an Error that has all of these parts.
  template <class Read>
  testing::AssertionResult Refuses(const Read& read, const std::string& bytes,
                                   const std::vector<std::string>& parts) const {
    const auto file = File("bad", bytes);
    try {
      read(file);
    } catch (const Error& error) {
      const std::string message = error.what();
      for (const std::string& part : parts) {
        if (message.find(part) == std::string::npos) {
          return testing::AssertionFailure() << message << " does not say '" << part << "'";
        }
      }
      if (message.find(file.string()) == std::string::npos) return testing::AssertionFailure() << message;
      return testing::AssertionSuccess();
    }
    return testing::AssertionFailure() << "accepted " << bytes;
  }
  TemporaryFolder folder_;
};

TEST_F(DataFiles, TextLines) {
  const auto texts =
      ReadTextLines(File("a.jsonl", "{\"text\": \"one\\n\"}\r\n\n{\"text\": \"\", \"id\": 7}"));
  ASSERT_EQ(texts.size(), 2u);
  EXPECT_EQ(texts[0].text, "one\n");
  EXPECT_EQ(texts[0].line, 1);
  EXPECT_EQ(texts[1].text, "");
  EXPECT_EQ(texts[1].line, 3);
  EXPECT_TRUE(Refuses(ReadTextLines, "", {"no lines"}));
  EXPECT_TRUE(Refuses(ReadTextLines, "{\"text\": \"a\"}\n{\"txt\": \"b\"}", {"line 2", "\"text\""}));
  EXPECT_TRUE(Refuses(ReadTextLines, "{\"text\": 5}", {"line 1", "\"text\""}));
  EXPECT_TRUE(Refuses(ReadTextLines, "{\"text\": \"a\"}\n{\"text\": \"b\"", {"line 2", "JSON object"}));
  EXPECT_TRUE(Refuses(ReadTextLines, "\"text\"", {"line 1", "JSON object"}));
  EXPECT_TRUE(Refuses(ReadTextLines, "{\"text\": \"\xff\"}", {"line 1"}));
  EXPECT_TRUE(Refuses(ReadTextLines, std::string(100000, '['), {"line 1"}));
  EXPECT_THROW(ReadTextLines(folder_ / "missing"), Error);
}

TEST_F(DataFiles, CompletionsSplitAtTheLastBlank) {
  const auto texts = ReadCompletions(File("a.jsonl", "{\"text\": \"I am  here.\"}\n{\"text\": \"a\\nb c\"}"));
  ASSERT_EQ(texts.size(), 2u);
  EXPECT_EQ(texts[0].context, "I am ");
  EXPECT_EQ(texts[0].target, " here.");
  EXPECT_EQ(texts[1].context, "a\nb");
  for (const char* text : {"word", " word", "word ", ""}) {
    const std::string bad = fmt::format("{{\"text\": \"a b\"}}\n{{\"text\": \"{}\"}}", text);
    EXPECT_TRUE(Refuses(ReadCompletions, bad, {"line 2", "last word"})) << text;
  }
}

TEST_F(DataFiles, Questions) {
  const auto questions = ReadQuestions(File(
      "a.jsonl",
      "{\"prompt\": \"1+1=\", \"choices\": [\"1\", \"2\", \"3\"], \"answer\": 1, \"subject\": \"sums\"}\n"
      "{\"prompt\": \"\", \"choices\": [\"a\", \"b\"], \"answer\": 0}"));
  ASSERT_EQ(questions.size(), 2u);
  EXPECT_EQ(questions[0].prompt, "1+1=");
  EXPECT_EQ(questions[0].choices, (std::vector<std::string>{"1", "2", "3"}));
  EXPECT_EQ(questions[0].answer, 1);
  EXPECT_EQ(questions[0].subject, "sums");
  EXPECT_EQ(questions[1].subject, "");
  const std::string good = "{\"prompt\": \"p\", \"choices\": [\"a\", \"b\"], \"answer\": 0}\n";
  const std::pair<const char*, std::vector<std::string>> bad[] = {
      {"{\"choices\": [\"a\", \"b\"], \"answer\": 0}", {"\"prompt\""}},
      {"{\"prompt\": \"p\", \"answer\": 0}", {"\"choices\""}},
      {"{\"prompt\": \"p\", \"choices\": [\"a\"], \"answer\": 0}", {"two"}},
      {"{\"prompt\": \"p\", \"choices\": [\"a\", \"\"], \"answer\": 0}", {"choice 1", "empty"}},
      {"{\"prompt\": \"p\", \"choices\": [\"a\", 5], \"answer\": 0}", {"choice 1"}},
      {"{\"prompt\": \"p\", \"choices\": [\"a\", \"b\"], \"answer\": 2}", {"0 to 1", "is 2"}},
      {"{\"prompt\": \"p\", \"choices\": [\"a\", \"b\"], \"answer\": -1}", {"0 to 1", "is -1"}},
      {"{\"prompt\": \"p\", \"choices\": [\"a\", \"b\"], \"answer\": 1e99}", {"0 to 1"}},
      {"{\"prompt\": \"p\", \"choices\": [\"a\", \"b\"], \"answer\": \"a\"}", {"0 to 1"}},
      {"{\"prompt\": \"p\", \"choices\": [\"a\", \"b\"]}", {"missing"}},
      {"{\"prompt\": \"p\", \"choices\": [\"a\", \"b\"], \"answer\": 0, \"subject\": 1}", {"\"subject\""}}};
  for (const auto& [line, parts] : bad) {
    std::vector<std::string> all = parts;
    all.push_back("line 2");
    EXPECT_TRUE(Refuses(ReadQuestions, good + line, all)) << line;
  }
  EXPECT_TRUE(Refuses(ReadQuestions, "\n", {"no questions"}));
}

TEST_F(DataFiles, Pairs) {
  const auto right = File("right", "a b\n\na c\n"), wrong = File("wrong", "a x\r\na y");
  const auto pairs = ReadPairs(right, wrong);
  ASSERT_EQ(pairs.size(), 2u);
  EXPECT_EQ(pairs[1].first, "a c");
  EXPECT_EQ(pairs[1].second, "a y");
  const auto against = [&](const std::filesystem::path& file) { return ReadPairs(right, file); };
  EXPECT_TRUE(Refuses(against, "a x\n", {right.string(), "2 lines", "1:"}));
  EXPECT_TRUE(Refuses(against, "a x\na c\n", {"line 2", "line 3", "same"}));
  EXPECT_THROW(ReadPairs(File("empty", "\n"), wrong), Error);
}

TEST_F(DataFiles, MmluRecords) {
  const auto header = ReadMmluSubject(
      File("high_school_physics_test.csv", "question,c0,c1,answer\n\"What, \"\"now\"\"?\",x,y,1\n"));
  EXPECT_EQ(header.name, "high school physics");
  ASSERT_EQ(header.items.size(), 1u);
  EXPECT_EQ(header.items[0].question, "What, \"now\"?");
  EXPECT_EQ(header.items[0].choices, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(header.items[0].answer, 1);
  const auto letters = ReadMmluSubject(File("law.csv", "q,a,b,c,d,D\nq,0,1,2,3,0"));
  EXPECT_EQ(letters.name, "law");
  EXPECT_EQ(letters.items[0].answer, 3);
  EXPECT_EQ(letters.items[1].answer, 0);
  const std::pair<const char*, std::vector<std::string>> bad[] = {
      {"q,a,b,c,d,E", {"A to D", "0 to 3", "'E'"}},
      {"q,a,b,c,d,4", {"'4'"}},
      {"q,a,b,c,d,-1", {"'-1'"}},
      {"q,a,b,c,d,", {"''"}},
      {"q,a,b,c,d,a", {"'a'"}},
      {"q,a,A", {"3 fields"}},
      {"q", {"1 fields"}},
      {"q,\"a,b,A", {"quote"}}};
  for (const auto& [record, parts] : bad) {
    std::vector<std::string> all = parts;
    all.push_back("line 2");
    EXPECT_TRUE(Refuses(ReadMmluSubject, std::string("q,a,b,c,d,A\n") + record, all)) << record;
  }
  EXPECT_TRUE(Refuses(ReadMmluSubject, "question,c0,c1,c2,c3,answer\n", {"no questions"}));
  EXPECT_TRUE(Refuses(ReadMmluSubject, "", {"no questions"}));
}

TEST_F(DataFiles, MmluFolders) {
  const auto folder = folder_ / "mmlu";
  std::filesystem::create_directories(folder);
  EXPECT_THROW(ReadMmlu(folder), Error);
  WriteFile(folder / "b_test.csv", "q,a,b,A\n");
  WriteFile(folder / "a_test.csv", "q,a,b,B\n");
  WriteFile(folder / "notes.txt", "no table\n");
  const auto subjects = ReadMmlu(folder);
  ASSERT_EQ(subjects.size(), 2u);
  EXPECT_EQ(subjects[0].name, "a");
  EXPECT_EQ(ReadMmlu(folder / "b_test.csv").at(0).name, "b");
}

TEST(AskMmlu, ChatIsRwkvLmsTurn) {
  const MmluItem item{"1+1?", {"1", "2", "3", "4"}, 1}, shot{"0+0?", {"0", "5", "6", "7"}, 0};
  const QuestionText asked = AskMmlu(MmluForm::kChat, "sums", {}, item);
  EXPECT_EQ(asked.prompt,
            "User: You are a very talented expert in sums. Answer this question:\n1+1?\nA. 1\nB. 2\nC. 3\nD. "
            "4\n\nAssistant: The answer is");
  EXPECT_EQ(asked.choices, (std::vector<std::string>{" A", " B", " C", " D"}));
  EXPECT_EQ(asked.answer, 1);
  EXPECT_EQ(asked.subject, "sums");
  EXPECT_EQ(AskMmlu(MmluForm::kChat, "sums", std::span(&shot, 1), item).prompt,
            "User: You are a very talented expert in sums. Answer this question:\n0+0?\nA. 0\nB. 5\nC. 6\nD. "
            "7\n\nAssistant: The answer is A\n\n" +
                asked.prompt);
}

TEST(AskMmlu, PlainIsThePapers) {
  const MmluItem item{"1+\r\n1?", {"1", "2"}, 1}, shot{"0+0?", {"0", "5"}, 0};
  EXPECT_EQ(
      AskMmlu(MmluForm::kPlain, "sums", std::span(&shot, 1), item).prompt,
      "The following are multiple choice questions (with answers) about sums.\n\n0+0?\nA. 0\nB. 5\nAnswer: "
      "A\n\n1+\n1?\nA. 1\nB. 2\nAnswer:");
}

}  // namespace
}  // namespace linnet

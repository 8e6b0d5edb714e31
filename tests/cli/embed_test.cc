// linnet embed: where texts come from, and what is printed of them.
#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/program.h"

namespace linnet {
namespace {

using nlohmann::json;

class EmbedCommand : public testing::Test {
 protected:
  std::vector<json> Lines(std::vector<std::string> arguments, const std::string& input = "") const {
    arguments.insert(arguments.begin(), {"embed", model_});
    const Outcome outcome = RunLinnet(arguments, input);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    std::vector<json> lines;
    for (size_t at = 0; at < outcome.out.size();) {
      const size_t end = outcome.out.find('\n', at);
      lines.push_back(json::parse(outcome.out.substr(at, end - at)));
      at = end + 1;
    }
    return lines;
  }

  TemporaryFolder folder_;
  std::string model_ = WriteTinyModel(folder_ / "m.safetensors").string();
};

TEST_F(EmbedCommand, TextsComeFromAnywhere) {
  const auto given = Lines({"one", "two \"2\""});
  ASSERT_EQ(given.size(), 2u);
  EXPECT_EQ(given[0]["text"], "one");
  EXPECT_EQ(given[1]["text"], "two \"2\"");
  EXPECT_EQ(given[0]["tokens"], 3);
  EXPECT_EQ(given[0]["embedding"].size(), 32u);
  EXPECT_EQ(Lines({}, "one\n\ntwo \"2\"\n"), given);
  WriteFile(folder_ / "t.jsonl", "{\"text\": \"one\"}\n{\"text\": \"two \\\"2\\\"\"}\n");
  EXPECT_EQ(Lines({"--data", folder_ / "t.jsonl"}), given);
  EXPECT_NE(Lines({"one", "--pool", "last"})[0]["embedding"], given[0]["embedding"]);
  EXPECT_TRUE(Lines({}, "").empty());
}

TEST_F(EmbedCommand, NormalizedOnesHaveLengthOne) {
  double squares = 0;
  const json line = Lines({"one", "--normalize"}).at(0);
  for (const json& x : line["embedding"]) squares += x.get<double>() * x.get<double>();
  EXPECT_NEAR(squares, 1, 1e-6);
}

TEST_F(EmbedCommand, SimilarityToTheFirst) {
  const json result = Lines({"one", "one", "two", "--similarity", "--json"}).at(0);
  EXPECT_EQ(result["text"], "one");
  ASSERT_EQ(result["similarities"].size(), 2u);
  EXPECT_NEAR(result["similarities"][0]["similarity"].get<double>(), 1, 1e-6);
  EXPECT_LT(result["similarities"][1]["similarity"].get<double>(), 0.999);
  const Outcome screen = RunLinnet({"embed", model_, "one", "one", "two\x1b", "--similarity"});
  EXPECT_NE(screen.out.find("1.00000  one\n"), std::string::npos) << screen.out;
  EXPECT_EQ(screen.out.find('\x1b'), std::string::npos);
  EXPECT_TRUE(FailsWith({"embed", model_, "one", "--similarity"}, {"two texts"}));
}

TEST_F(EmbedCommand, MistakesAreNamed) {
  EXPECT_TRUE(FailsWith({"embed", model_, "a", "--pool", "max"}, {"--pool"}));
  EXPECT_TRUE(FailsWith({"embed", model_, "--data", "/none/such"}, {"/none/such"}));
}

}  // namespace
}  // namespace linnet

// linnet eval: its numbers, its formats, and what it says of mistakes.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/program.h"

namespace linnet {
namespace {

using nlohmann::json;

class EvalCommand : public testing::Test {
 protected:
  Outcome Run(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "eval");
    arguments.insert(arguments.begin() + 2, model_);
    return RunLinnet(arguments);
  }
  json Json(std::vector<std::string> arguments) const {
    arguments.push_back("--json");
    const Outcome outcome = Run(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    return json::parse(outcome.out);
  }
  std::string File(const std::string& name, const std::string& bytes) const {
    WriteFile(folder_ / name, bytes);
    return folder_ / name;
  }
  testing::AssertionResult Fails(std::vector<std::string> arguments,
                                 const std::vector<std::string>& parts) const {
    arguments.insert(arguments.begin(), "eval");
    arguments.insert(arguments.begin() + 2, model_);
    return FailsWith(arguments, parts);
  }

  TemporaryFolder folder_;
  std::string model_ = WriteTinyModel(folder_ / "m.safetensors").string();
};

TEST_F(EvalCommand, PplAgreesWithTheLogits) {
  const std::string text = "The finch sings.";
  const json result = Json({"ppl", "--text", File("a.txt", text)});
  std::string ids = "0";
  for (unsigned char byte : text) ids += fmt::format(",{}", byte);
  const json logits =
      json::parse(RunLinnet({"logits", model_, "--tokens", ids, "--all", "--json"}).out)["logits"];
  double sum = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    double total = 0;
    for (const json& logit : logits[i]) total += std::exp(logit.get<double>());
    sum += std::log(total) - logits[i][static_cast<unsigned char>(text[i])].get<double>();
  }
  EXPECT_EQ(result["model"], model_);
  EXPECT_EQ(result["documents"], 1);
  EXPECT_EQ(result["bytes"], 16);
  EXPECT_EQ(result["tokens"], 16);
  EXPECT_EQ(result["window"], 0);
  EXPECT_EQ(result["start_token"], true);
  EXPECT_NEAR(result["loss"].get<double>(), sum / 16, 1e-5);
  EXPECT_NEAR(result["perplexity"].get<double>(), std::exp(sum / 16), 1e-3);
  EXPECT_NEAR(result["bits_per_byte"].get<double>(), sum / 16 / std::log(2), 1e-5);
  EXPECT_GT(result["seconds"].get<double>(), 0);
}

TEST_F(EvalCommand, PplTakesDocumentsOfAnyKind) {
  const std::string a = File("a.txt", "one"),
                    b = File("b.jsonl", "{\"text\": \"two\"}\n{\"text\": \"three\"}\n");
  const json result = Json({"ppl", "--text", a, b});
  EXPECT_EQ(result["documents"], 3);
  EXPECT_EQ(result["bytes"], 11);
  const json again = Json({"ppl", "--text", File("all.jsonl", "{\"text\": \"one\"}\n" + ReadFile(b))});
  EXPECT_NEAR(result["loss"].get<double>(), again["loss"].get<double>(), 1e-6);
  EXPECT_EQ(Json({"ppl", "--text", a, b, "--no-start-token", "--window", "2"})["tokens"], 8);
  EXPECT_TRUE(Fails({"ppl", "--text", File("c.jsonl", "{\"text\": 1}")}, {"c.jsonl, line 1", "\"text\""}));
  EXPECT_TRUE(Fails({"ppl", "--text", File("d.txt", "")}, {"d.txt", "empty"}));
  EXPECT_TRUE(Fails({"ppl", "--text", a, "--window", "-1"}, {"--window"}));
  EXPECT_TRUE(Fails({"ppl"}, {"--text", "`linnet eval ppl --help`"}));
}

// The trainer's held-out loss is that of the same windows. The last tenth of 3,210 bytes is 20 windows of 16
// and the byte before the first.
TEST_F(EvalCommand, PplWithoutTheStartTokenIsTheTrainersHeldOutLoss) {
  std::string text;
  for (int i = 0; i < 3210; ++i) text += static_cast<char>('a' + i * i % 26);
  const std::string data = File("data.txt", text), run = folder_ / "run";
  const Outcome trained =
      RunLinnet({"train", "--layers", "1", "--width", "32", "--head-size", "16", "--data", data, "--ctx",
                 "16", "--batch", "2", "--steps", "3", "--out", run, "--log", run + "/log.jsonl"});
  ASSERT_EQ(trained.code, 0) << trained.err;
  const std::string model = run + "/model.safetensors";
  const json info = json::parse(RunLinnet({"info", model, "--json"}).out);
  const Outcome ppl = RunLinnet({"eval", "ppl", model, "--text", File("held.txt", text.substr(3210 - 321)),
                                 "--window", "16", "--no-start-token", "--json"});
  const json result = json::parse(ppl.out);
  EXPECT_EQ(result["tokens"], 320);
  EXPECT_NEAR(result["loss"].get<double>(), info["val_loss"].get<double>(), 1e-5);
}

TEST_F(EvalCommand, LambadaCountsExamples) {
  const std::string file = File("l.jsonl", "{\"text\": \"a b c\"}\n{\"text\": \"x yz\"}\n");
  const json result = Json({"lambada", "--data", file});
  EXPECT_EQ(result["examples"], 2);
  EXPECT_EQ(result["tokens"], 5);
  EXPECT_NEAR(result["perplexity"].get<double>(), std::exp(result["loss"].get<double>()), 1e-6);
  EXPECT_TRUE(result.contains("accuracy"));
  EXPECT_TRUE(result.contains("accuracy_stderr"));
  EXPECT_EQ(Json({"lambada", "--data", file, "--limit", "1"})["examples"], 1);
  EXPECT_TRUE(
      Fails({"lambada", "--data", File("bad", "{\"text\": \"word\"}")}, {"bad, line 1", "last word"}));
}

TEST_F(EvalCommand, ChoicesOfEveryFormat) {
  const std::string lines =
      File("q.jsonl",
           "{\"prompt\": \"1+1=\", \"choices\": [\"1\", \"2\"], \"answer\": 1}\n"
           "{\"prompt\": \"1+2=\", \"choices\": [\"3\", \"4\", \"5\"], \"answer\": 0}\n");
  const json result = Json({"choices", "--data", lines});
  EXPECT_EQ(result["questions"], 2);
  EXPECT_NEAR(result["chance"].get<double>(), (1.0 / 2 + 1.0 / 3) / 2, 1e-9);
  EXPECT_EQ(result["subjects"], json::array());
  for (const char* key :
       {"accuracy", "accuracy_per_token", "accuracy_per_byte", "accuracy_stderr", "seconds"}) {
    EXPECT_TRUE(result[key].is_number()) << key;
  }
  Json({"choices", "--data", lines, "--each", folder_ / "each.jsonl"});
  const std::string each = ReadFile(folder_ / "each.jsonl");
  EXPECT_EQ(std::ranges::count(each, '\n'), 2);
  const json first = json::parse(each.substr(0, each.find('\n')));
  EXPECT_EQ(first["answer"], 1);
  EXPECT_EQ(first["tokens"], json({1, 1}));
  ASSERT_EQ(first["log_likelihoods"].size(), 2u);
  EXPECT_LT(first["log_likelihoods"][0].get<double>(), 0);
  const std::string right = File("right", "he ran home\nshe sat\n"),
                    wrong = File("wrong", "he ran xx\nshe zz\n");
  EXPECT_EQ(Json({"choices", "--pairs", right, wrong})["questions"], 2);
  EXPECT_EQ(Json({"choices", "--pairs", right, wrong, "--limit", "1"})["questions"], 1);
}

TEST_F(EvalCommand, MmluBySubjectWithExamples) {
  std::filesystem::create_directories(folder_ / "test");
  std::filesystem::create_directories(folder_ / "dev");
  WriteFile(folder_ / "test/birds_test.csv", "Which sings?,finch,stone,B\nWhich flies?,finch,stone,A\n");
  WriteFile(folder_ / "test/sums_test.csv", "1+1?,2,3,0\n");
  WriteFile(folder_ / "dev/birds_dev.csv", "Which swims?,duck,stone,A\n");
  WriteFile(folder_ / "dev/sums_dev.csv", "1+0?,1,3,A\n");
  const std::string test = folder_ / "test", dev = folder_ / "dev";
  const json result = Json({"choices", "--data", test, "--shots", "1", "--examples", dev, "--form", "plain"});
  EXPECT_EQ(result["questions"], 3);
  ASSERT_EQ(result["subjects"].size(), 2u);
  EXPECT_EQ(result["subjects"][0]["name"], "birds");
  EXPECT_EQ(result["subjects"][0]["questions"], 2);
  double right = 0;
  for (const json& subject : result["subjects"]) {
    right += subject["accuracy"].get<double>() * subject["questions"].get<double>();
  }
  EXPECT_NEAR(result["accuracy"].get<double>(), right / 3, 1e-9);
  const Outcome screen = Run({"choices", "--data", test});
  for (const char* part : {"birds", "sums", "accuracy", "guessing gets 50.00%"}) {
    EXPECT_NE(screen.out.find(part), std::string::npos) << screen.out;
  }
  const Outcome hostile = Run(
      {"choices", "--data",
       File("h.jsonl",
            "{\"subject\": \"a\\u001b[31m\", \"prompt\": \"\", \"choices\": [\"a\", \"b\"], \"answer\": 0}\n"
            "{\"subject\": \"b\", \"prompt\": \"\", \"choices\": [\"a\", \"b\"], \"answer\": 0}")});
  EXPECT_EQ(hostile.code, 0);
  EXPECT_EQ(hostile.out.find('\x1b'), std::string::npos);  // a file gives the terminal no orders
  EXPECT_TRUE(Fails({"choices", "--data", test, "--shots", "1"}, {"--examples"}));
  EXPECT_TRUE(
      Fails({"choices", "--data", test, "--shots", "2", "--examples", dev}, {dev, "1 examples of birds"}));
  EXPECT_TRUE(Fails({"choices", "--data", test, "--shots", "1", "--examples", dev + "/sums_dev.csv"},
                    {"no examples of birds"}));
  EXPECT_TRUE(Fails({"choices", "--data", File("x.csv", "q,a,b,C\n")}, {"x.csv, line 1", "A to B"}));
  EXPECT_TRUE(Fails({"choices", "--data", test, "--form", "song"}, {"--form"}));
  EXPECT_TRUE(Fails({"choices"}, {"--data", "--pairs"}));
  EXPECT_TRUE(Fails({"choices", "--data", test, "--pairs", test, dev}, {"--data", "--pairs"}));
}

TEST_F(EvalCommand, AModelWithoutATokenizerIsRefused) {
  const std::string small = WriteTinyModel(folder_ / "small.safetensors", 40).string();
  EXPECT_TRUE(FailsWith({"eval", "ppl", small, "--text", File("a.txt", "abc")}, {small, "vocabulary of 40"}));
}

TEST_F(EvalCommand, AnswersAreJudged) {
  const std::string pairs =
      File("pairs.jsonl",
           "{\"id\": \"a\", \"answer\": \"A finch.\"}\n{\"id\": \"b\", \"answer\": \"A stone.\"}\n");
  const std::string questions =
      File("q.jsonl", "{\"id\": \"b\", \"question\": \"What?\"}\n{\"id\": \"a\", \"question\": \"Who?\"}\n");
  const std::string each = folder_ / "each.jsonl";
  const json result = Json({"answers", "--data", questions, "--pairs", pairs, "-n", "5", "--each", each});
  EXPECT_EQ(result["model"], model_);
  EXPECT_EQ(result["template"], "question");
  EXPECT_EQ(result["questions"], 2);
  EXPECT_EQ(result["right"], 0);  // the model has learnt nothing
  EXPECT_GE(result["mean_f1"], 0.0);
  EXPECT_LE(result["mean_f1"], 1.0);
  // What is written is what a chat answers.
  const std::string written = ReadFile(each);
  const json first = json::parse(written.substr(0, written.find('\n')));
  EXPECT_EQ(first["id"], "b");
  EXPECT_EQ(first["question"], "What?");
  EXPECT_EQ(first["right"], false);
  const json chat =
      json::parse(RunLinnet({"chat", model_, "-p", "What?", "-n", "5", "--temperature", "0", "--json"}).out);
  EXPECT_TRUE(chat["answer"].get<std::string>().starts_with(first["answer"].get<std::string>())) << chat;
  EXPECT_TRUE(
      Fails({"answers", "--data", File("c.jsonl", "{\"id\": \"c\", \"question\": \"x\"}"), "--pairs", pairs},
            {"pairs.jsonl", "no pair 'c'"}));
  EXPECT_TRUE(Fails({"answers", "--data", pairs, "--pairs", pairs}, {"pairs.jsonl, line 1", "\"question\""}));
}

}  // namespace
}  // namespace linnet

// linnet generate --jsonl: many prompts, the same texts whatever is generated beside them.
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/program.h"

namespace linnet {
namespace {

using nlohmann::json;

class GenerateJsonlCommand : public testing::Test {
 protected:
  std::string Path(const std::string& name) const { return (folder_ / name).string(); }

  /// Writes the prompts to a file and continues them into another, which it returns.
  std::string Run(const std::vector<json>& prompts, std::vector<std::string> arguments) const {
    std::string text;
    for (const json& prompt : prompts) text += prompt.dump() + "\n";
    WriteFile(folder_ / "in", text);
    arguments.insert(arguments.begin(), {"generate", model_, "--jsonl", Path("in"), "--out", Path("out")});
    const Outcome outcome = RunLinnet(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_FALSE(std::filesystem::exists(Path("out.partial")));
    return ReadFile(Path("out"));
  }

  static std::vector<json> Lines(const std::string& text) {
    std::vector<json> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.push_back(json::parse(line));
    return lines;
  }

  TemporaryFolder folder_;
  std::string model_ = WriteTinyModel(folder_ / "m.safetensors").string();
};

const std::vector<json>& Prompts() {
  static const std::vector<json> prompts = {
      {{"prompt", "abc"}},
      {{"prompt", ""}, {"id", "empty"}, {"max_tokens", 50}},
      {{"prompt", std::string(1300, 'x')}, {"id", 7}, {"max_tokens", 3}},
      {{"prompt", "stop"}, {"stop", {"e", "a", "i"}}, {"max_tokens", 400}, {"note", "no option"}},
      {{"prompt", "stop"}, {"stop", "t"}, {"max_tokens", 400}},
      {{"prompt", "h\u00e4"}, {"temperature", 0}, {"past_end", false}},
      {{"prompt", "x"}, {"seed", 77}, {"top_k", 3}, {"max_tokens", 5}},
      {{"prompt", "x"}, {"seed", 77}, {"top_k", 3}, {"max_tokens", 5}},
      {{"prompt", "nothing"}, {"max_tokens", 0}},
      {{"prompt", "again"}, {"presence_penalty", 1}, {"frequency_penalty", 0.5}, {"mirostat_tau", 3}},
      {{"prompt", std::string(600, 'y')}, {"typical_p", 0.5}, {"min_p", 0.01}, {"top_p", 0.9}}};
  return prompts;
}

TEST_F(GenerateJsonlCommand, TextsDoNotDependOnTheBatch) {
  const std::vector<std::string> common = {"--past-end", "--seed", "5", "-n", "40", "--batch"};
  std::vector<std::string> outputs;
  for (const char* batch : {"1", "3", "8"}) {
    std::vector<std::string> arguments = common;
    arguments.emplace_back(batch);
    outputs.push_back(Run(Prompts(), arguments));
  }
  EXPECT_EQ(outputs[1], outputs[0]);
  EXPECT_EQ(outputs[2], outputs[0]);
  const std::vector<json> lines = Lines(outputs[0]);
  ASSERT_EQ(lines.size(), Prompts().size());
  EXPECT_EQ(lines[0]["id"], 1);
  EXPECT_EQ(lines[1]["id"], "empty");
  EXPECT_EQ(lines[2]["id"], 7);
  EXPECT_EQ(lines[0]["tokens"].size(), 40u);
  EXPECT_EQ(lines[2]["prompt_tokens"], 1300);
  EXPECT_EQ(lines[2]["tokens"].size(), 3u);
  EXPECT_EQ(lines[3]["end"], "stop");
  EXPECT_EQ(lines[3]["text"].get<std::string>().find_first_of("eai"), std::string::npos);
  EXPECT_EQ(lines[6]["text"], lines[7]["text"]);
  EXPECT_EQ(lines[8]["text"], "");
  EXPECT_NE(lines[3]["seed"], lines[4]["seed"]);
}

TEST_F(GenerateJsonlCommand, ALineIsWhatGenerateWritesForItAlone) {
  const std::vector<json> lines = Lines(Run(Prompts(), {"--past-end", "-n", "40"}));
  for (size_t i : {0, 1, 2, 10}) {
    const json& prompt = Prompts()[i];
    std::vector<std::string> arguments = {"generate",   model_,
                                          "--past-end", "--json",
                                          "-p",         prompt["prompt"],
                                          "--seed",     lines[i]["seed"].dump(),
                                          "-n",         prompt.value("max_tokens", json(40)).dump()};
    for (const auto& [key, flag] :
         {std::pair{"typical_p", "--typical-p"}, {"min_p", "--min-p"}, {"top_p", "--top-p"}}) {
      if (prompt.contains(key)) arguments.insert(arguments.end(), {flag, prompt[key].dump()});
    }
    const json single = json::parse(RunLinnet(arguments).out);
    EXPECT_EQ(lines[i]["text"], single["text"]) << i;
    EXPECT_EQ(lines[i]["end"], single["end"]) << i;
  }
}

TEST_F(GenerateJsonlCommand, BadLinesAreNamedBeforeAnythingIsGenerated) {
  const std::pair<const char*, const char*> cases[] = {
      {"{\"prompt\": \"a\"}\n\nnonsense\n{\"prompt\"", ":3: "},
      {"nonsense\nmore\n", "and 1 more"},
      {"[]", "must be an object with a \"prompt\""},
      {"{\"text\": \"a\"}", "must be an object with a \"prompt\""},
      {"{\"prompt\": 3}", ":1: "},
      {"{\"prompt\": \"a\", \"max_tokens\": -1}", "max_tokens must be a whole number of at least 0"},
      {"{\"prompt\": \"a\", \"max_tokens\": 1e30}", "max_tokens must be a whole number of at least 0"},
      {"{\"prompt\": \"a\", \"max_tokens\": 18446744073709551615}", "max_tokens must be at least 0"},
      {"{\"prompt\": \"a\", \"seed\": 1.5}", "seed must be a whole number of at least 0"},
      {"{\"prompt\": \"a\", \"max_tokens\": \"x\"}", ":1: "},
      {"{\"prompt\": \"a\", \"top_p\": 2}", "top-p"},
      {"{\"prompt\": \"a\", \"top_k\": \"3\"}", "number"},
      {"{\"prompt\": \"a\", \"stop\": [\"\"]}", "stop string"},
      {"{\"prompt\": \"a\", \"stop\": 3}", ":1: "},
      {"{\"prompt\": \"\xFF\"}", ":1: "},
      {"\n\n", "holds no prompts"}};
  for (const auto& [text, message] : cases) {
    WriteFile(folder_ / "in", text);
    EXPECT_TRUE(
        FailsWith({"generate", model_, "--jsonl", Path("in"), "--out", Path("out")}, {Path("in"), message}));
    EXPECT_FALSE(std::filesystem::exists(Path("out"))) << text;
    EXPECT_FALSE(std::filesystem::exists(Path("out.partial"))) << text;
  }
  EXPECT_TRUE(FailsWith({"generate", model_, "--jsonl", Path("in")}, {"--out"}));
  EXPECT_TRUE(FailsWith({"generate", model_, "--out", Path("out")}, {"--jsonl"}));
  EXPECT_TRUE(
      FailsWith({"generate", model_, "--jsonl", Path("in"), "--out", Path("out"), "-p", "a"}, {"--prompt"}));
  EXPECT_TRUE(FailsWith({"generate", model_, "--jsonl", Path("in"), "--out", Path("out"), "--batch", "0"},
                        {"--batch"}));
}

TEST_F(GenerateJsonlCommand, CtrlCKeepsWhatIsFinishedAndTheNextCallGoesOn) {
  std::string text;
  for (int i = 0; i < 3; ++i)
    text += json{{"prompt", "p" + std::to_string(i)}, {"max_tokens", 5}}.dump() + "\n";
  WriteFile(folder_ / "in", text + json{{"prompt", "long"}, {"max_tokens", 20000}}.dump() + "\n");
  const std::string command =
      fmt::format("{} generate {} --past-end --batch 1 --jsonl {} --out {}", Quoted(LINNET_PROGRAM),
                  Quoted(model_), Quoted(Path("in")), Quoted(Path("out")));
  // As soon as the three short texts are in the journal, below its header.
  const int status =
      std::system(fmt::format("{} 2>{} & p=$!; for i in $(seq 1000); do "
                              "test $(cat {} 2>/dev/null | wc -l) -ge 4 && break; sleep 0.02; done; "
                              "kill -INT $p; wait $p",
                              command, Quoted(Path("err")), Quoted(Path("out.partial")))
                      .c_str());
  EXPECT_EQ(WEXITSTATUS(status), 130) << ReadFile(Path("err"));
  EXPECT_NE(ReadFile(Path("err")).find("out.partial"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(Path("out")));
  const std::string journal = ReadFile(Path("out.partial"));
  WriteFile(folder_ / "out.partial", journal + "3 {\"cut sho");  // as a crash would leave it

  const std::vector<std::string> arguments = {"generate", model_,  "--past-end", "--jsonl",
                                              Path("in"), "--out", Path("out")};
  const Outcome resumed = RunLinnet(arguments);
  EXPECT_EQ(resumed.code, 0);
  EXPECT_NE(resumed.err.find("3 of 4 texts were finished"), std::string::npos) << resumed.err;
  const std::string out = ReadFile(Path("out"));
  EXPECT_EQ(Lines(out).size(), 4u);

  // The seed was random; the journal has kept it.
  const auto seed = json::parse(journal.substr(0, journal.find('\n')))["seed"].dump();
  std::vector<std::string> afresh = arguments;
  afresh.back() = Path("again");
  afresh.insert(afresh.end(), {"--seed", seed});
  EXPECT_EQ(RunLinnet(afresh).code, 0);
  EXPECT_EQ(ReadFile(Path("again")), out);

  // Unfinished work on something else is not gone on with.
  WriteFile(folder_ / "out.partial", journal);
  std::vector<std::string> other = arguments;
  other.insert(other.end(), {"--temperature", "0.5", "-n", "1"});
  WriteFile(folder_ / "in", text);
  EXPECT_EQ(RunLinnet(other).err, "");
}

}  // namespace
}  // namespace linnet

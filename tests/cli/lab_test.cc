// linnet task, compare and explain as their users run them.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/program.h"

namespace linnet {
namespace {

using nlohmann::json;
using Words = std::vector<std::string>;

TEST(TaskCommand, ListsAndShows) {
  const Outcome list = RunLinnet({"task", "list", "--json"});
  ASSERT_EQ(list.code, 0) << list.err;
  const json tasks = json::parse(list.out);
  EXPECT_EQ(std::ranges::count_if(tasks, [](const json& t) { return t["task"] == "mqar"; }), 1);
  const Outcome text = RunLinnet({"task", "list"});
  for (const json& task : tasks) EXPECT_NE(text.out.find(task["task"]), std::string::npos);

  const Outcome samples = RunLinnet({"task", "show", "reversal:digits=5:length=4", "-n", "4", "--json"});
  std::istringstream lines(samples.out);
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const json sample = json::parse(line);
    EXPECT_EQ(sample["tokens"].size(), 12u);
    EXPECT_EQ(sample["targets"].size(), 12u);
  }
  EXPECT_EQ(count, 4);
  EXPECT_NE(RunLinnet({"task", "show", "parity:length=4"}).out.find("judged by sequence accuracy"),
            std::string::npos);
}

TEST(TaskCommand, SaysWhatThereIs) {
  EXPECT_TRUE(FailsWith({"task", "show", "mquar"}, {"'mquar'", "mqar", "listops"}));
  EXPECT_TRUE(FailsWith({"task", "show", "mqar:pear=1"}, {"'pear'", "pairs"}));
  EXPECT_TRUE(FailsWith({"task", "show", "smnist"}, {"--data"}));
}

class CompareCommand : public testing::Test {
 protected:
  Words Command(const Words& more) const {
    Words words{"compare", "--task",   "parity:length=6", "--params", "12k", "--layers",
                "1",       "--budget", "steps=4",         "--seeds",  "2",   "--lr",
                "1e-3",    "-o",       folder_ / "out"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  TemporaryFolder folder_;
};

TEST_F(CompareCommand, PrintsATableAndDraws) {
  const Outcome outcome = RunLinnet(Command({"--arch", "rwkv4,rwkv7"}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  for (const char* part : {"rwkv4", "rwkv7", "sequence accuracy", "state bytes"})
    EXPECT_NE(outcome.out.find(part), std::string::npos) << outcome.out;
  for (const char* name : {"by-tokens.svg", "by-seconds.svg", "by-state.svg"})
    EXPECT_NE(ReadFile(folder_ / ("out/" + std::string(name))).find("rwkv7"), std::string::npos) << name;
  EXPECT_NE(ReadFile(folder_ / "out/table.txt").find("rwkv4"), std::string::npos);
  // Again, with one more, as JSON: nothing is repeated.
  const Outcome again = RunLinnet(Command({"--arch", "rwkv4,rwkv7,rwkv6", "--json"}));
  ASSERT_EQ(again.code, 0) << again.err;
  const json report = json::parse(again.out);
  EXPECT_EQ(report["architectures"].size(), 3u);
  EXPECT_EQ(report, json::parse(ReadFile(folder_ / "out/results.json")));
  EXPECT_NE(again.err.find("rwkv4, seed 2: validation loss"), std::string::npos) << again.err;
  EXPECT_NE(again.err.find("(was there)"), std::string::npos);
}

TEST_F(CompareCommand, RefusesBeforeItTrains) {
  const auto fails = [&](const Words& more, const Words& parts) {
    const Outcome outcome = RunLinnet(Command(more));
    EXPECT_GT(outcome.code, 0);
    for (const std::string& part : parts)
      EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err << " lacks " << part;
    EXPECT_FALSE(std::filesystem::exists(folder_ / "out"));
  };
  fails({"--arch", "rwkv4,lstn"}, {"'lstn'", "known are: rwkv2"});
  fails({"--arch", "rwkv7:layers=99"}, {"--params 12000", "comes closest"});
  fails({}, {"--arch"});
}

TEST(ExplainCommand, BothFormsAgree) {
  const Outcome outcome = RunLinnet({"explain", "duality", "--tokens", "5", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const json result = json::parse(outcome.out);
  ASSERT_EQ(result["steps"].size(), 5u);
  for (const json& step : result["steps"]) {
    EXPECT_NEAR(step["recurrent"].get<double>(), step["convolved"].get<double>(), 1e-12);
    EXPECT_NEAR(step["recurrent"].get<double>(), step["op_parallel"].get<double>(), 1e-5);
  }
  const TemporaryFolder folder;
  const Outcome text = RunLinnet({"explain", "duality", "-o", folder / "k.svg"});
  EXPECT_NE(text.out.find("convolution"), std::string::npos);
  EXPECT_NE(ReadFile(folder / "k.svg").find("tokens back"), std::string::npos);
}

TEST(ExplainCommand, EveryArchitectureCanBeUnrolled) {
  const TemporaryFolder folder;
  for (const Architecture& architecture : Architectures()) {
    const std::string picture = folder / (architecture.name + ".svg");
    const Outcome outcome = RunLinnet({"explain", "unrolled", architecture.name, "-o", picture});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_NE(outcome.out.find(architecture.title), std::string::npos) << outcome.out;
    const std::string svg = ReadFile(picture);
    EXPECT_NE(svg.find("token t + 1"), std::string::npos) << architecture.name;
    EXPECT_LT(svg.size(), 40'000u);
  }
  EXPECT_EQ(RunLinnet({"explain", "unrolled", "lstm", "-o", folder / "p.png"}).code, 0);
  EXPECT_NE(RunLinnet({"explain", "unrolled", "lstm"}).out.find("the rest waits"), std::string::npos);
  EXPECT_TRUE(FailsWith({"explain", "unrolled", "lstn"}, {"'lstn'", "qrnn"}));
}

// From the training's log to the layers: neurons with a membrane are silent at first, those without say ones.
TEST(ExplainCommand, SpikesAreCounted) {
  const TemporaryFolder folder;
  WriteFile(folder / "text", std::string(400, 'a') + "bcdefghijklmnopqrstuvwxyz");
  for (const auto& [neuron, rate] : {std::pair{"neuron=2", 0.0}, std::pair{"neuron=1", 1.0}}) {
    const std::string out = folder / neuron, model = out + "/model.safetensors";
    const Outcome train =
        RunLinnet({"train",   "--arch",  "spikegpt", "--sizes",       neuron,  "--layers", "2",
                   "--width", "16",      "--data",   folder / "text", "--ctx", "32",       "--batch",
                   "2",       "--steps", "1",        "--lr",          "1e-9",  "--out",    out});
    ASSERT_EQ(train.code, 0) << train.err;
    const std::string log = ReadFile(out + "/log.jsonl");
    EXPECT_EQ(json::parse(log.substr(0, log.find('\n')))["firing_rate"], rate);
    const Outcome outcome = RunLinnet({"explain", "spikes", model, "--data", folder / "text", "--json"});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const json result = json::parse(outcome.out);
    EXPECT_EQ(result["tokens"], 425);
    if (rate == 0) {
      EXPECT_EQ(result["mean"], 0);
    }
    EXPECT_GT(result["embedding"], 0.1);
    EXPECT_LT(result["embedding"], 0.9);
    ASSERT_EQ(result["blocks"].size(), 2u);
    double sum = 0;
    for (const json& block : result["blocks"]) {
      sum += block["time_mix"].get<double>() + block["channel_mix"].get<double>();
    }
    EXPECT_NEAR(result["mean"].get<double>(), sum / 4, 1e-6);
    EXPECT_NE(RunLinnet({"explain", "spikes", model, "--data", folder / "text"}).out.find("channel mix"),
              std::string::npos);
  }
}

}  // namespace
}  // namespace linnet

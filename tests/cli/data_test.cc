// `linnet data`, and training on what it writes.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/random.h"
#include "cli/program.h"
#include "text/tokenizer_files.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Words = std::vector<std::string>;

/// Conversations and texts as .jsonl, and a vocabulary of 257 tokens.
class DataProgram : public testing::Test {
 protected:
  DataProgram() {
    std::string lines;
    Random random(1);
    for (int i = 0; i < 120; ++i) {
      std::string word;
      for (uint64_t letters = 1 + random.Below(30); letters > 0; --letters)
        word += "abcdefgh "[random.Below(9)];
      lines +=
          i % 3 == 0 ? json{{"text", word}}.dump() : json{{"question", word}, {"answer", "x" + word}}.dump();
      lines += '\n';
    }
    WriteFile(folder_ / "a.jsonl", lines);
    WriteFile(folder_ / "small.txt", SmallWorld(256));
  }

  std::string Path(const std::string& name) const { return folder_ / name; }

  Words Prepare(const Words& more = {}) const {
    Words words{"data", "prepare", Path("a.jsonl"), "-o", Path("a"), "--tokenizer", Path("small.txt")};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  Words Train(const std::string& out, const Words& more = {}) const {
    Words words{"train",
                "--data",
                Path("a"),
                "--tokenizer",
                Path("small.txt"),
                "--out",
                Path(out),
                "--ctx",
                "32",
                "--batch",
                "2",
                "--accumulate",
                "2",
                "--layers",
                "2",
                "--width",
                "32",
                "--head-size",
                "16",
                "--seed",
                "5",
                "--steps",
                "20",
                "--lr",
                "1e-3",
                "--val-every",
                "5",
                "--save-every",
                "7",
                "--threads",
                "1",
                "--val-fraction",
                "0.1"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  static json Run(const Words& words) {
    const Outcome outcome = RunLinnet(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return json::parse(outcome.out, nullptr, false);
  }

  static std::string LogWithoutTimes(const fs::path& path) {
    std::string kept;
    const std::string text = ReadFile(path);
    for (size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
      json line = json::parse(text.substr(at, text.find('\n', at) - at));
      line.erase("seconds"), line.erase("tokens_per_s");
      kept += line.dump() + "\n";
    }
    return kept;
  }

  TemporaryFolder folder_;
};

TEST_F(DataProgram, PreparesAndInspects) {
  const json done = Run(Prepare({"--template", "qa", "--json"}));
  EXPECT_EQ(done["documents"], 120);
  EXPECT_EQ(done["tokenizer"], "small.txt");
  EXPECT_LT(done["learnt"], done["tokens"]);
  const json seen =
      Run({"data", "inspect", Path("a"), "--tokenizer", Path("small.txt"), "--show", "2", "--json"});
  EXPECT_EQ(seen["documents"], 120);
  EXPECT_EQ(seen["tokens"], done["tokens"]);
  EXPECT_EQ(seen["learnt"], done["learnt"]);
  EXPECT_EQ(seen["least_id"], 0);
  EXPECT_EQ(seen["chat_template"], "qa");
  ASSERT_EQ(seen["first"].size(), 2u);
  EXPECT_TRUE(seen["first"][1]["text"].get<std::string>().starts_with("\nQ: "));
  const Outcome plain = RunLinnet({"data", "inspect", Path("a")});
  EXPECT_EQ(plain.code, 0);
  for (const char* part : {"documents  120", "of type u16", "document 2", "--tokenizer shows their text"}) {
    EXPECT_NE(plain.out.find(part), std::string::npos) << plain.out;
  }
}

TEST_F(DataProgram, RearrangesDocuments) {
  Run(Prepare({"--json"}));
  const auto written = [](const json& result, size_t i) { return result["written"][i]["documents"]; };
  EXPECT_EQ(written(Run({"data", "merge", Path("a"), Path("a.bin"), "-o", Path("b"), "--json"}), 0), 240);
  EXPECT_EQ(written(Run({"data", "shuffle", Path("b"), "-o", Path("c"), "--seed", "3", "--json"}), 0), 240);
  EXPECT_NE(ReadFile(Path("b.bin")), ReadFile(Path("c.bin")));
  const json split = Run({"data", "split", Path("c"), "-o", Path("d"), "--held-out", "0.1", "--json"});
  EXPECT_EQ(written(split, 0), 216);
  EXPECT_EQ(written(split, 1), 24);
  EXPECT_TRUE(fs::exists(Path("d-held-out.mask")));
}

TEST_F(DataProgram, BadInputIsNamed) {
  WriteFile(folder_ / "bad.jsonl", "{\"text\": \"a\"}\n{\"text\": 1}\n");
  EXPECT_TRUE(FailsWith({"data", "prepare", Path("bad.jsonl"), "-o", Path("x"), "--tokenizer", "bytes"},
                        {"bad.jsonl:2: ", "\"text\" must be a text"}));
  EXPECT_TRUE(FailsWith(Prepare({"--template", "none"}), {"no chat template 'none'"}));
  EXPECT_TRUE(FailsWith({"data", "prepare", Path("a.jsonl"), "-o", Path("x"), "--tokenizer", "none"},
                        {"no tokenizer 'none'"}));
  Run(Prepare({"--json"}));
  EXPECT_TRUE(FailsWith(Train("run", {"--pack", "boxes"}), {"--pack", "boxes"}));
  EXPECT_TRUE(FailsWith(Train("run", {"--data", Path("a.jsonl")}), {"--data takes one"}));
  fs::resize_file(Path("a.bin"), 100);
  EXPECT_TRUE(FailsWith(Train("run"), {"a.bin: is cut short", "a.idx"}));
  EXPECT_TRUE(FailsWith({"data", "inspect", Path("a")}, {"a.bin: is cut short"}));
  EXPECT_FALSE(fs::exists(Path("run")));
}

// As if the run had been killed after its second last checkpoint.
TEST_F(DataProgram, ResumedTrainingIsTheSameToTheBit) {
  Run(Prepare({"--json"}));
  for (const char* pack : {"documents", "stream"}) {
    SCOPED_TRACE(pack);
    const std::string run = Path(pack), resumed = run + "-resumed";
    const Outcome outcome = RunLinnet(Train(pack, {"--pack", pack}));
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_NE(outcome.out.find("tokens to learn from"), std::string::npos) << outcome.out;
    fs::copy(run, resumed, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
    fs::remove(resumed + "/checkpoint-20.safetensors");
    const Outcome again = RunLinnet({"train", "--resume", "--out", resumed});
    ASSERT_EQ(again.code, 0) << again.err;
    EXPECT_NE(again.out.find("at step 14"), std::string::npos) << again.out;
    EXPECT_EQ(LogWithoutTimes(run + "/log.jsonl"), LogWithoutTimes(resumed + "/log.jsonl"));
    EXPECT_TRUE(ReadFile(run + "/model.safetensors") == ReadFile(resumed + "/model.safetensors"));
  }
}

TEST_F(DataProgram, TheModelKnowsItsTokenizerAndTemplate) {
  Run(Prepare({"--json", "--template", "qa"}));
  ASSERT_EQ(RunLinnet(Train("run")).code, 0);
  const auto model = Checkpoint::Open(Path("run/model.safetensors"));
  EXPECT_EQ(model->metadata().at("tokenizer"), "small.txt");
  EXPECT_EQ(model->metadata().at("chat_template"), "qa");
  EXPECT_EQ(model->Find("emb.weight")->shape[0], 320);
  fs::remove(Path("small.txt"));
  const Outcome text = RunLinnet({"generate", Path("run/model.safetensors"), "-p", "ab", "-n", "5"});
  EXPECT_EQ(text.code, 0) << text.err;

  Run({"data", "shuffle", Path("a"), "-o", Path("b"), "--json"});
  EXPECT_TRUE(FailsWith({"train", "--resume", "--out", Path("run"), "--data", Path("b")},
                        {"--data", "b.bin", "learnt from", "a.bin"}));
  EXPECT_TRUE(FailsWith({"train", "--resume", "--out", Path("run"), "--pack", "stream"}, {"--pack"}));
}

}  // namespace
}  // namespace linnet

// The program itself: help, version, and the form of its errors.
#include "cli/program.h"

namespace linnet {
namespace {

constexpr const char* kCommands[] = {"train",    "generate", "chat", "logits", "info", "bench",  "state",
                                     "tokenize", "convert",  "eval", "embed",  "plot", "doctor", "demo"};

TEST(Program, AloneItExplainsItself) {
  const Outcome outcome = RunLinnet({});
  EXPECT_EQ(outcome.code, 0);
  for (const char* command : kCommands) {
    EXPECT_NE(outcome.out.find(fmt::format("\n  {} ", command)), std::string::npos) << command;
  }
}

TEST(Program, EveryCommandHasHelpWithAnExample) {
  for (const char* command : kCommands) {
    const Outcome outcome = RunLinnet({command, "--help"});
    EXPECT_EQ(outcome.code, 0) << command;
    EXPECT_NE(outcome.out.find(std::string("linnet ") + command), std::string::npos) << outcome.out;
    EXPECT_EQ(outcome.err, "");
  }
}

TEST(Program, SoDoCommandsOfCommands) {
  for (const auto& [command, sub] : {std::pair{"eval", "ppl"},
                                     {"eval", "lambada"},
                                     {"eval", "choices"},
                                     {"eval", "answers"},
                                     {"plot", "decay"},
                                     {"plot", "loss"},
                                     {"plot", "positions"}}) {
    const Outcome outcome = RunLinnet({command, sub, "--help"});
    EXPECT_EQ(outcome.code, 0) << sub;
    EXPECT_NE(outcome.out.find(fmt::format("Example: linnet {} {}", command, sub)), std::string::npos)
        << outcome.out;
  }
}

TEST(Program, SaysItsVersion) {
  const Outcome outcome = RunLinnet({"--version"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_TRUE(outcome.out.starts_with("linnet ")) << outcome.out;
}

TEST(Program, AWrongCommandLineExitsWith2AndAHint) {
  EXPECT_TRUE(FailsWith({"sing"}, {"no command 'linnet sing'", "`linnet --help`"}));
  EXPECT_TRUE(FailsWith({"eval", "sing"}, {"no command 'linnet eval sing'", "`linnet eval --help`"}));
  EXPECT_TRUE(FailsWith({"info"}, {"model", "`linnet info --help`"}));
  EXPECT_TRUE(FailsWith({"info", "x", "--jsn"}, {"--jsn", "`linnet info --help`"}));
  EXPECT_EQ(RunLinnet({"sing"}).code, 2);
}

TEST(Program, AFullDiskIsAnError) {
  const TemporaryFolder folder;
  const std::string model = WriteTinyModel(folder / "m.safetensors");
  const std::string command = std::string(LINNET_PROGRAM) + " info " + model + " >/dev/full 2>/dev/null";
  EXPECT_EQ(WEXITSTATUS(std::system(command.c_str())), 1);
}

// Every command that opens a model says the same of a file that is none.
class BadFiles : public testing::TestWithParam<std::vector<std::string>> {
 protected:
  testing::AssertionResult Fails(const std::filesystem::path& file,
                                 const std::vector<std::string>& parts) const {
    std::vector<std::string> arguments = GetParam();
    arguments.insert(arguments.begin() + 1, file.string());
    std::vector<std::string> all = parts;
    all.push_back(file.string());
    return FailsWith(arguments, all);
  }
  std::filesystem::path File(const std::string& name, const std::string& bytes) const {
    WriteFile(folder_ / name, bytes);
    return folder_ / name;
  }
  TemporaryFolder folder_;
};

TEST_P(BadFiles, AreRefusedByName) {
  EXPECT_TRUE(Fails(folder_ / "missing.safetensors", {"No such file"}));
  EXPECT_TRUE(Fails(folder_ / "", {"is a folder"}));
  EXPECT_TRUE(Fails(File("empty.pth", ""), {"empty"}));
  EXPECT_TRUE(Fails(File("notes.txt", "This is a text about birds, and no model at all.\n"), {}));
  EXPECT_TRUE(Fails(File("m.gguf", "GGUF" + std::string(64, '\3')), {"GGUF"}));
  const std::string whole = ReadFile(WriteTinyModel(folder_ / "m.safetensors"));
  for (size_t size : {size_t{4}, size_t{100}, whole.size() / 2, whole.size() - 1}) {
    EXPECT_TRUE(Fails(File("truncated.safetensors", whole.substr(0, size)), {})) << size;
  }
}

TEST_P(BadFiles, AModelThatLacksATensorIsNamedWithIt) {
  const auto checkpoint = Checkpoint::Open(WriteTinyModel(folder_ / "whole.safetensors"));
  std::vector<NamedTensor> tensors;
  for (const auto& entry : checkpoint->entries()) {
    if (entry.name != "ln_out.bias") tensors.push_back({entry.name, checkpoint->Load(entry.name)});
  }
  WriteSafetensors(folder_ / "part.safetensors", tensors, {});
  EXPECT_TRUE(Fails(folder_ / "part.safetensors", {"ln_out.bias", "missing"}));
}

INSTANTIATE_TEST_SUITE_P(Commands, BadFiles,
                         testing::Values(std::vector<std::string>{"info"},
                                         std::vector<std::string>{"logits", "--tokens", "1"},
                                         std::vector<std::string>{"generate", "-p", "a", "-n", "1"}),
                         [](const auto& info) { return info.param[0]; });

}  // namespace
}  // namespace linnet

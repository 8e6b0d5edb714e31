// examples/rwkv_in_150_lines.cc: its logits and greedy text are the reference's, and those of `linnet`, which
// shares no line with it; it stays what its name says; it refuses what it cannot read.
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/program.h"
#include "golden/golden.h"

namespace linnet {
namespace {

using nlohmann::json;

/// Runs the example with these arguments.
Outcome RunExample(const std::vector<std::string>& arguments) {
  const TemporaryFolder folder;
  std::string command = Quoted(LINNET_EXAMPLE);
  for (const std::string& argument : arguments) command.append(" ").append(Quoted(argument));
  command += fmt::format(" >{} 2>{}", Quoted(folder / "out"), Quoted(folder / "err"));
  const int status = std::system(command.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, ReadFile(folder / "out"), ReadFile(folder / "err")};
}

/// The example's answer for a model and a prompt.
Outcome Answer(const std::filesystem::path& model, int count, const std::vector<int>& tokens) {
  std::vector<std::string> arguments = {model, std::to_string(count)};
  for (int token : tokens) arguments.push_back(std::to_string(token));
  return RunExample(arguments);
}

/// All logits that it prints, row after row.
std::vector<double> Logits(const std::filesystem::path& model, const std::vector<int>& tokens) {
  const Outcome outcome = Answer(model, 0, tokens);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  std::vector<double> values;
  std::istringstream lines(outcome.out);
  for (std::string line; std::getline(lines, line);) {
    for (const json& value : json::parse(line)) values.push_back(value.get<double>());
  }
  return values;
}

std::string Bytes(const std::vector<int>& tokens) {
  std::string bytes;
  for (int token : tokens) bytes += static_cast<char>(token);
  return bytes;
}

void ExpectNear(const std::vector<double>& actual, const std::vector<double>& expected, double tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  double largest = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    ASSERT_TRUE(std::isfinite(actual[i])) << i;
    largest = std::max(largest, std::abs(actual[i] - expected[i]));
  }
  EXPECT_LE(largest, tolerance);
}

/// The golden README's tolerances of float32 engines: 2e-5 for RWKV-4 to 6, 5e-5 for 7.
TEST(RwkvIn150Lines, SaysWhatTheReferenceSays) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  const TemporaryFolder folder;
  for (const auto& [name, tag, tolerance] : {std::tuple{"v4", "fp32", 2e-5},
                                             {"v4", "bf16", 2e-5},
                                             {"v5.2", "fp32", 2e-5},
                                             {"v6", "fp32", 2e-5},
                                             {"v7", "fp32", 5e-5},
                                             {"v7-small", "bf16", 5e-5}}) {
    SCOPED_TRACE(fmt::format("{}, {}", name, tag));
    const auto golden = golden::Folder() / "A_inference" / name;
    const json cases = json::parse(ReadFile(golden / "info.json"));
    const std::vector<int> tokens = cases.at("tokens");
    const Outcome converted = RunLinnet(
        {"convert", golden / fmt::format("{}.{}.pth", name, tag), folder / "m.safetensors", "--force"});
    ASSERT_EQ(converted.code, 0) << converted.err;
    const auto expected = Checkpoint::Open(golden / "expected.safetensors");
    ExpectNear(Logits(folder / "m.safetensors", tokens),
               golden::Values(*expected, fmt::format("{}.logits_f64", tag)), tolerance);
    const Outcome greedy = Answer(folder / "m.safetensors", 16, tokens);
    EXPECT_EQ(greedy.out, Bytes(cases.at(tag).at("greedy16")));
  }
}

class Trained : public testing::TestWithParam<const char*> {};

/// A small model that `linnet train` left, and the same in 16 bits.
TEST_P(Trained, SaysWhatLinnetSays) {
  const TemporaryFolder folder;
  WriteFile(folder / "text", std::string(4000, 'a') + "The linnet is a finch. " + std::string(400, 'b'));
  std::vector<std::string> train = {
      "train", "--arch",  GetParam(), "--layers", "2", "--width", "32",   "--data", folder / "text", "--ctx",
      "32",    "--batch", "4",        "--steps",  "6", "--lr",    "1e-2", "--out",  folder / "run"};
  if (std::string(GetParam()) != "rwkv4") train.insert(train.end(), {"--head-size", "16"});
  const Outcome trained = RunLinnet(train);
  ASSERT_EQ(trained.code, 0) << trained.err;
  for (const char* type : {"f32", "bf16", "f16"}) {
    SCOPED_TRACE(type);
    const std::filesystem::path model = folder / fmt::format("{}.safetensors", type);
    ASSERT_EQ(RunLinnet({"convert", folder / "run" / "model.safetensors", model, "--dtype", type}).code, 0);
    const Outcome outcome = RunLinnet(
        {"logits", model, "--tokens", "84,104,101,32,98", "--all", "--json", "--precision", "fp32"});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    std::vector<double> expected;
    const json output = json::parse(outcome.out);
    for (const json& row : output.at("logits")) {
      for (const json& value : row) expected.push_back(value.get<double>());
    }
    ExpectNear(Logits(model, {84, 104, 101, 32, 98}), expected, 2e-5);
  }
}
INSTANTIATE_TEST_SUITE_P(Versions, Trained, testing::Values("rwkv4", "rwkv5", "rwkv6", "rwkv7"),
                         [](const auto& test) { return std::string(test.param); });

TEST(RwkvIn150Lines, HasNoMoreThan150LinesOf110Columns) {
  std::istringstream lines(
      ReadFile(std::filesystem::path(LINNET_SOURCE_DIR) / "examples/rwkv_in_150_lines.cc"));
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    EXPECT_LE(line.size(), 110u) << line;
    EXPECT_FALSE(line.starts_with("#include \"")) << line;
  }
  EXPECT_LE(count, 150);
}

TEST(RwkvIn150Lines, RefusesWhatItCannotRead) {
  const TemporaryFolder folder;
  const auto expect = [&](const std::vector<std::string>& arguments, const std::string& part) {
    const Outcome outcome = RunExample(arguments);
    EXPECT_EQ(outcome.code, 1);
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
  };
  const std::string model = WriteTinyModel(folder / "m.safetensors"), bytes = ReadFile(model);
  expect({}, "usage");
  expect({model, "0", "256"}, "no token 256");
  expect({folder / "none", "0", "1"}, "not safetensors");
  WriteFile(folder / "text", "A linnet is a finch.");
  expect({folder / "text", "0", "1"}, "not safetensors");
  WriteFile(folder / "cut", bytes.substr(0, bytes.size() - 1));
  expect({folder / "cut", "0", "1"}, "too short");
  WriteSafetensors(folder / "empty", {{"emb.weight", Tensor::Zeros({4, 4})}}, {});
  expect({folder / "empty", "0", "1"}, "has no ln_out.bias");
  expect({WriteTinyModel(folder / "a.safetensors", 256, {}, "rwkv7a"), "0", "1"}, "7a");
}

}  // namespace
}  // namespace linnet

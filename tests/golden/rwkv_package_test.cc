// The `rwkv` package (the reference's own inference, rwkv_pip_package of BlinkDL/ChatRWKV) opens the .pth
// that `linnet convert` writes, and computes the logits that linnet computes. It is looked for in the folder
// that LINNET_RWKV_PACKAGE names (the one that has rwkv/model.py in it), then among Python's modules.
#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "golden/golden.h"
#include "python.h"

namespace linnet {
namespace {

using nlohmann::json;

/// Of the standard deviation. The package's two forms, a sequence and single tokens, are up to 1.5e-5 apart.
constexpr double kTolerance = 5e-5;
/// For RWKV-4 to 6 it normalises the embedding in the type of the file, where that is 16 bits throughout.
constexpr double kRoundedEmbedding = 0.05;

/// What the package has to be told of a version before it is imported; nullopt: it cannot run that.
std::optional<std::string> Environment(const std::string& version) {
  static const std::map<std::string, std::string> kKnown = {{"4", ""},
                                                            {"5.0", ""},
                                                            {"5.1", ""},
                                                            {"5.2", ""},
                                                            {"6", ""},
                                                            {"7", "RWKV_V7_ON=1 "},
                                                            {"7a", "RWKV_V7_ON=1 RWKV_DE_VERSION=1 "}};
  const auto found = kKnown.find(version);
  return found == kKnown.end() ? std::nullopt : std::optional(found->second);
}

std::vector<double> Values(const json& rows) {
  std::vector<double> values;
  for (const json& row : rows) {
    for (const json& value : row) values.push_back(value.get<double>());
  }
  return values;
}

/// "1,2,3", of at most 16.
std::string Joined(const std::vector<int>& ids) {
  std::string list;
  for (size_t i = 0; i < std::min<size_t>(ids.size(), 16); ++i)
    list += fmt::format("{}{}", i == 0 ? "" : ",", ids[i]);
  return list;
}

class RwkvPackage : public testing::Test {
 protected:
  void SetUp() override {
    LINNET_SKIP_WITHOUT_GOLDEN();
    const char* named = std::getenv("LINNET_RWKV_PACKAGE");
    package_ = named == nullptr ? "" : named;
    ASSERT_TRUE(package_.empty() ||
                std::filesystem::exists(std::filesystem::path(package_) / "rwkv/model.py"))
        << "LINNET_RWKV_PACKAGE: no rwkv/model.py in " << package_;
    python_ = PythonThatCan(package_.empty() ? "import torch, rwkv" : "import torch");
    if (python_.empty()) {
      GTEST_SKIP()
          << "no python3 with torch (Debian: python3-torch) and the rwkv package (pip install rwkv, or "
             "LINNET_RWKV_PACKAGE=FOLDER with rwkv/model.py in it)";
    }
  }

  json PackageLogits(const std::string& environment, const std::string& model,
                     const std::string& tokens) const {
    const std::string out = folder_ / "package.json", err = folder_ / "package.err";
    const std::string command = fmt::format("{}RWKV_JIT_ON=0 {} {} {} {} {} >{} 2>{}", environment, python_,
                                            Quoted(LINNET_SOURCE_DIR "/tests/golden/rwkv_package.py"),
                                            Quoted(model), tokens, Quoted(package_), out, err);
    EXPECT_EQ(std::system(command.c_str()), 0) << ReadFile(err);
    return json::parse(ReadFile(out), nullptr, /*allow_exceptions=*/false);
  }

  /// Converts, has both programs run the result, and compares.
  void Compare(const std::filesystem::path& source, const std::string& type, const std::string& tokens,
               const std::string& environment, double tolerance) const {
    const std::string model = folder_ / fmt::format("{}.{}.pth", source.stem().string(), type);
    const Outcome converted = RunLinnet({"convert", source, model, "--dtype", type});
    ASSERT_EQ(converted.code, 0) << converted.err;
    const Outcome outcome =
        RunLinnet({"logits", model, "--tokens", tokens, "--all", "--json", "--precision", "fp32"});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const std::vector<double> ours = Values(json::parse(outcome.out)["logits"]);
    const json theirs = PackageLogits(environment, model, tokens);
    for (const char* form : {"together", "single"}) {
      ASSERT_TRUE(theirs.contains(form));
      const std::vector<double> values = Values(theirs[form]);
      ASSERT_EQ(values.size(), ours.size());
      double largest = 0;
      for (size_t i = 0; i < ours.size(); ++i) largest = std::max(largest, std::abs(values[i] - ours[i]));
      const double error = largest / golden::StandardDeviation(values);
      fmt::print("{} {} {}: {:.2g}\n", source.stem().string(), type, form, error);
      EXPECT_LE(error, tolerance) << form;
    }
  }

  std::string package_, python_;
  TemporaryFolder folder_;
};

TEST_F(RwkvPackage, ComputesTheSameLogitsFromOurPth) {
  int compared = 0;
  for (const auto& folder : golden::Cases("A_inference")) {
    if (!exists(folder / "info.json")) continue;
    const json info = json::parse(ReadFile(folder / "info.json"));
    const auto environment = Environment(info.value("version", ""));
    if (!environment) continue;
    for (const auto& [file, tag] : golden::WeightFiles(folder)) {
      if (file.extension() != ".pth") continue;
      SCOPED_TRACE(file.string());
      const std::vector<int> tokens = info.at("tokens");
      const std::string ids = Joined(tokens);
      Compare(file, "f32", ids, *environment, kTolerance);
      const bool all_16_bits = tag == "bf16" && environment->empty();
      Compare(file, "bf16", ids, *environment, all_16_bits ? kRoundedEmbedding : kTolerance);
      ++compared;
    }
  }
  EXPECT_GE(compared, 7);
}

}  // namespace
}  // namespace linnet

// linnet bench and linnet doctor: their contracts with programs, and what they refuse. Speeds are nobody's
// promise here.
#include <nlohmann/json.hpp>

#include "cli/program.h"

namespace linnet {
namespace {

using nlohmann::json;

TEST(BenchCommand, MeasuresAFileBesideTheMachinesLimits) {
  const TemporaryFolder folder;
  const auto model = WriteTinyModel(folder / "m.safetensors");
  const Outcome run = RunLinnet({"bench", model, "--json", "--rounds", "1", "--prompt", "8", "--batch", "2"});
  ASSERT_EQ(run.code, 0) << run.err;
  const json report = json::parse(run.out);
  const auto positive = [&](const char* part, const char* name) {
    EXPECT_GT(report.at(part).at(name).get<double>(), 0) << part << "." << name;
  };
  positive("machine", "read_gb_per_s");
  positive("machine", "gemm_gflops");
  positive("decode", "tokens_per_s");
  positive("decode", "fraction_of_limit");
  positive("prefill", "tokens_per_s");
  positive("prefill", "fraction_of_gemm_peak");
  positive("batch", "tokens_per_s");
  positive("open", "seconds_to_first_token");
  EXPECT_EQ(report.at("model").at("dtype"), "f32");
  // All weights but the embedding's table, of which a token needs one row of 32.
  const double parameters = report.at("model").at("parameters");
  EXPECT_EQ(report.at("model").at("weight_bytes_per_token").get<double>(), 4 * (parameters - 256 * 32 + 32));
}

TEST(BenchCommand, WantsOneModel) {
  EXPECT_TRUE(FailsWith({"bench"}, {"model file", "--shape"}));
  EXPECT_TRUE(FailsWith({"bench", "--shape", "9B"}, {"--shape", "9B", "0.1B"}));
  EXPECT_TRUE(FailsWith({"bench", "--shape", "0.1B", "--dtype", "q3"}, {"--dtype", "q3", "q4_k"}));
}

TEST(BenchCommand, MoreThreadsThanCoresAreCapped) {
  const TemporaryFolder folder;
  const auto model = WriteTinyModel(folder / "m.safetensors");
  const Outcome run = RunLinnet({"logits", model, "--tokens", "1", "--threads", "4000"});
  EXPECT_EQ(run.code, 0);
  EXPECT_NE(run.err.find("cores"), std::string::npos) << run.err;
}

TEST(DoctorCommand, SaysWhatTheMachineCanDo) {
  const Outcome run = RunLinnet({"doctor", "--json"});
  ASSERT_EQ(run.code, 0) << run.err;
  const json report = json::parse(run.out);
  EXPECT_GT(report.at("read_gb_per_s").get<double>(), 0.1);
  EXPECT_GT(report.at("gemm_gflops").get<double>(), 0.1);
  EXPECT_GE(report.at("cores").get<int>(), report.at("threads").get<int>());
  EXPECT_FALSE(report.at("vectors").get<std::string>().empty());
  EXPECT_NE(RunLinnet({"doctor"}).out.find("tokens/s"), std::string::npos);
}

}  // namespace
}  // namespace linnet

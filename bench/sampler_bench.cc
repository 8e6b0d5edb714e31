// The time of a draw from a vocabulary of 65,536, for several settings and shapes of the distribution.
//
//   sampler_bench [--vocab 65536] [--draws 300]
//
// A peaked row is like one of a trained model (logits of a standard deviation of 4), a flat one like one of
// an untrained model (0.1), where nearly every token is a candidate.
#include <cstdio>
#include <string>

#include "bench/measure.h"
#include "infer/sampler.h"

namespace linnet::bench {
namespace {

struct Case {
  const char* name;
  SamplerOptions options;
};

const Case kCases[] = {
    {"softmax", {}},
    {"temperature 0.8", {.temperature = 0.8}},
    {"greedy", {.temperature = 0}},
    {"top-p 0.3", {.top_p = 0.3}},
    {"top-p 0.85", {.top_p = 0.85}},
    {"top-p 0.95, temperature 1.2", {.temperature = 1.2, .top_p = 0.95}},
    {"top-k 40", {.top_k = 40}},
    {"min-p 0.05", {.min_p = 0.05}},
    {"typical-p 0.9 of top-p 0.95", {.top_p = 0.95, .typical_p = 0.9}},
    {"mirostat 5", {.mirostat_tau = 5}},
    {"top-p 0.3, penalties",
     {.top_p = 0.3, .presence_penalty = 0.5, .frequency_penalty = 0.5, .repetition_penalty = 1.1}},
};

std::vector<std::vector<float>> Rows(size_t vocab, double deviation) {
  std::vector<std::vector<float>> rows(8, std::vector<float>(vocab));
  Random random(1);
  for (auto& row : rows) {
    for (float& x : row) x = static_cast<float>(deviation * random.Normal());
  }
  return rows;
}

nlohmann::json Measure(const Case& c, const std::vector<std::vector<float>>& rows, int draws) {
  SequenceSampler sampler(c.options, 1);
  std::vector<double> seconds;
  for (int i = 0; i < draws; ++i) seconds.push_back(Seconds([&] { sampler.Draw(rows[i % rows.size()]); }));
  return {{"median_us", Median(seconds) * 1e6},
          {"fastest_us", *std::min_element(seconds.begin(), seconds.end()) * 1e6}};
}

}  // namespace
}  // namespace linnet::bench

int main(int argc, char** argv) {
  linnet::WaitShortly(argv);
  using namespace linnet;
  using namespace linnet::bench;
  size_t vocab = 65536;
  int draws = 300;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i], value = argv[i + 1];
    if (flag == "--vocab") vocab = std::stoul(value);
    if (flag == "--draws") draws = std::stoi(value);
  }
  nlohmann::json report{{"machine", Machine()}, {"vocab", vocab}};
  for (const auto& [shape, deviation] : {std::pair{"peaked", 4.0}, std::pair{"flat", 0.1}}) {
    const auto rows = Rows(vocab, deviation);
    for (const Case& c : kCases) report[shape][c.name] = Measure(c, rows, draws);
  }
  std::puts(report.dump(2).c_str());
}

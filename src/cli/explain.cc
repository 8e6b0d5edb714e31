// linnet explain: an idea with numbers. duality: RWKV-4's time mixing as a recurrence and as a convolution;
// spikes (explain_spikes.cc): how often neurons spike; unrolled (explain_unrolled.cc): a recurrence as a
// picture.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/lab_commands.h"
#include "cli/plots.h"
#include "lab/duality.h"

namespace linnet {
namespace {

using Json = nlohmann::ordered_json;

struct DualityOptions {
  double w = -1, u = 0.5;
  int tokens = 8, walk = 3;
  uint64_t seed = 1;
  bool json = false;
  std::string output;
};

/// "1.65*2.72*0.31"
std::string Term(double weight, double key, double value) {
  return fmt::format("{:.3g}*{:.3g}*{:.3g}", weight, key, value);
}

/// The first tokens in all detail.
void Walk(const lab::DualityChannel& c, const std::vector<lab::DualityStep>& steps, int count) {
  const std::vector<double> kernel = lab::Kernel(c, static_cast<int>(steps.size()));
  const double d = c.decay();
  for (int t = 0; t < count && t < static_cast<int>(steps.size()); ++t) {
    const lab::DualityStep& s = steps[t];
    const double key = std::exp(c.k[t]), now = kernel[0] * key;
    fmt::print("\ntoken {}: k = {:.2f}, v = {:.2f}, e^k = {:.3f}, e^(u + k) = {:.3f}\n", t, c.k[t], c.v[t],
               key, now);
    fmt::print("  recurrence   finds a = {:.4f}, b = {:.4f}\n", s.a, s.b);
    fmt::print("               wkv = (a + {:.3f}*{:.2f}) / (b + {:.3f}) = {:.6f}\n", now, c.v[t], now,
               s.recurrent);
    fmt::print(
        "               leaves a = {:.3f}*a + {:.3f}*{:.2f} = {:.4f}, b = {:.3f}*b + {:.3f} = {:.4f}\n", d,
        key, c.v[t], d * s.a + key * c.v[t], d, key, d * s.b + key);
    std::string sum;
    for (int j = 0; j <= t; ++j) {
      sum += (j == 0 ? "" : " + ") + Term(kernel[j], std::exp(c.k[t - j]), c.v[t - j]);
    }
    fmt::print("  convolution  sum of g_j e^k v, from here backwards: {} = {:.4f}\n", sum, s.numerator);
    fmt::print("               the same without v: {:.4f}; wkv = {:.4f} / {:.4f} = {:.6f}\n", s.denominator,
               s.numerator, s.denominator, s.convolved);
  }
}

void PrintDuality(const lab::DualityChannel& c, const std::vector<lab::DualityStep>& steps, int walk) {
  const double d = c.decay();
  fmt::print("One channel of RWKV-4: decay d = exp(-exp({:g})) = {:.4f}, bonus e^u = {:.4f}\n", c.w, d,
             std::exp(c.u));
  fmt::print("kernel g = (e^u, 1, d, d^2, ...) =");
  for (double g : lab::Kernel(c, std::min<int>(8, static_cast<int>(steps.size())))) fmt::print(" {:.3f}", g);
  fmt::print("\n");
  Walk(c, steps, walk);
  fmt::print("\nwkv of each token\n{:>5}  {:>6}  {:>6}  {:>13}  {:>13}  {:>10}  {:>13}  {:>13}\n", "token",
             "k", "v", "recurrence", "convolution", "difference", "op, at once", "op, stepwise");
  double largest = 0;
  for (size_t t = 0; t < steps.size(); ++t) {
    const lab::DualityStep& s = steps[t];
    const double difference = std::abs(s.recurrent - s.convolved);
    largest = std::max(largest, difference);
    fmt::print("{:>5}  {:>6.2f}  {:>6.2f}  {:>13.9f}  {:>13.9f}  {:>10.1e}  {:>13.9f}  {:>13.9f}\n", t,
               c.k[t], c.v[t], s.recurrent, s.convolved, difference, s.parallel, s.stepwise);
  }
  fmt::print("\nthe two forms differ by {:.1e} at most; the op that models use computes in float32\n",
             largest);
}

void PrintJson(const lab::DualityChannel& c, const std::vector<lab::DualityStep>& steps) {
  Json all = Json::array();
  for (size_t t = 0; t < steps.size(); ++t) {
    const lab::DualityStep& s = steps[t];
    all.push_back({{"k", c.k[t]},
                   {"v", c.v[t]},
                   {"a", s.a},
                   {"b", s.b},
                   {"recurrent", s.recurrent},
                   {"numerator", s.numerator},
                   {"denominator", s.denominator},
                   {"convolved", s.convolved},
                   {"op_parallel", s.parallel},
                   {"op_stepwise", s.stepwise}});
  }
  fmt::print("{}\n", Json{{"w", c.w}, {"u", c.u}, {"decay", c.decay()}, {"steps", all}}.dump());
}

/// The kernels of channels from the fastest to the slowest to forget; among a new model's channels decays
/// spread like this.
Chart KernelChart(const lab::DualityChannel& channel) {
  constexpr int kLength = 33;
  Chart chart{"The kernel that a channel's recurrence equals", "tokens back", "weight", {}};
  for (double w : {channel.w, 0.5, 0.0, -1.0, -2.0, -3.0, -5.0}) {
    const bool own = chart.series.empty();
    if (!own && w == channel.w) continue;
    lab::DualityChannel c = channel;
    c.w = w;
    Series series{fmt::format("{}d = {:.3f}", own ? "this one: " : "", c.decay()),
                  own ? Series::Style::kMarkers : Series::Style::kCurve,
                  {}};
    const std::vector<double> kernel = lab::Kernel(c, kLength);
    for (int j = 0; j < kLength; ++j) {
      if (own || j > 0) series.points.push_back({static_cast<double>(j), kernel[j]});
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

void RunDuality(const DualityOptions& options) {
  const lab::DualityChannel channel = lab::RandomChannel(options.w, options.u, options.tokens, options.seed);
  const std::vector<lab::DualityStep> steps = lab::BothForms(channel);
  WriteChart(options.output, KernelChart(channel));
  if (options.json) {
    PrintJson(channel, steps);
  } else {
    PrintDuality(channel, steps, options.walk);
  }
}

}  // namespace

void AddExplain(CLI::App& app) {
  CLI::App* explain = app.add_subcommand("explain", "Show with numbers how an idea works");
  explain->require_subcommand(1);
  auto options = std::make_shared<DualityOptions>();
  CLI::App* duality = explain->add_subcommand(
      "duality", "RWKV-4's time mixing as a recurrence and as a convolution, side by side");
  duality->add_option("--w", options->w, "time_decay: the decay is exp(-exp(w))")
      ->check(CLI::Range(-20.0, 3.0))
      ->capture_default_str();
  duality->add_option("--u", options->u, "time_first: the present token weighs e^u times as much")
      ->check(CLI::Range(-20.0, 20.0))
      ->capture_default_str();
  duality->add_option("--tokens", options->tokens, "That are read")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  duality->add_option("--walk", options->walk, "Of them, shown in all detail")
      ->check(CLI::Range(0, 10000))
      ->capture_default_str();
  duality->add_option("--seed", options->seed, "Of the random keys and values")->capture_default_str();
  AddChartOption(*duality, options->output);
  duality->add_flag("--json", options->json, "Print one JSON object");
  duality->footer("Example: linnet explain duality --w -2 --tokens 6 -o kernel.svg");
  duality->callback([options] { RunDuality(*options); });
  AddExplainSpikes(*explain);
  AddExplainUnrolled(*explain);
  explain->footer("Example: linnet explain duality");
}

}  // namespace linnet

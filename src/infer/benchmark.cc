#include "infer/benchmark.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "infer/generator.h"
#include "infer/machine.h"
#include "nn/table.h"

namespace linnet {
namespace {

template <class Body>
double Seconds(const Body& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/// One measured quantity over the rounds: tokens a second, and their share of the limit of the same round.
class Rounds {
 public:
  void Add(double tokens_per_s, double limit) {
    speeds_.push_back(tokens_per_s);
    fractions_.push_back(tokens_per_s / limit);
  }
  Benchmark::Speed speed() const {
    return speeds_.empty() ? Benchmark::Speed() : Benchmark::Speed{Median(speeds_), Median(fractions_)};
  }

 private:
  std::vector<double> speeds_, fractions_;
};

/// `steps` forward passes of one token for each of `sequences`. Which tokens they are does not change the
/// work.
void Decode(const LoadedModel& model, const State& state, int sequences, int steps) {
  Batch batch;
  for (int s = 0; s < sequences; ++s) batch.Append({0}, s);
  for (int i = 0; i < steps; ++i) {
    for (int s = 0; s < sequences; ++s) batch.tokens[s] = static_cast<int>((i * 31 + s * 7) % model.vocab());
    model.model->Forward(batch, state);
  }
}

/// Whether products are computed in bf16: they are for every type of matrix but f32.
bool ComputesInBf16(const LoadedModel& model) { return model.model->head().dtype() != DType::kF32; }

}  // namespace

double WeightBytesPerToken(const LoadedModel& model) {
  double bytes = 0;
  for (const Parameter& p : model.params->parameters()) {
    bytes += static_cast<double>(p.tensor.bytes()) / static_cast<double>(IsTable(p) ? p.tensor.dim(0) : 1);
  }
  return bytes;
}

double FlopsPerToken(const LoadedModel& model) {
  double flops = model.architecture->recurrence_flops(model.sizes);
  for (const Parameter& p : model.params->parameters()) {
    if (p.role != Role::kVector && !IsTable(p)) flops += 2.0 * static_cast<double>(p.tensor.size());
  }
  return flops;
}

Benchmark RunBenchmark(const LoadedModel& model, const BenchmarkOptions& options) {
  Check(options.rounds > 0 && options.prompt_tokens > 0 && options.batch >= 0,
        "[bench] rounds and prompt must be at least 1, the batch at least 0");
  const auto say = [&](const std::string& what) {
    if (options.on_progress) options.on_progress(what);
  };
  Benchmark result;
  result.weight_bytes_per_token = WeightBytesPerToken(model);
  result.flops_per_token = FlopsPerToken(model);
  const State state = model.NewState(std::max(1, options.batch));
  result.state_bytes = static_cast<double>(state.slot_bytes());
  const std::vector<int> prompt(options.prompt_tokens, 1);

  say("warming up");
  const double warm = Seconds([&] { Decode(model, state, 1, 1); });
  result.first_token_s = std::min(warm, Seconds([&] { Decode(model, state, 1, 1); }));
  const int steps = options.decode_tokens > 0
                        ? options.decode_tokens
                        : std::clamp(static_cast<int>(0.5 / result.first_token_s), 2, 500);
  const DType type = ComputesInBf16(model) ? DType::kBf16 : DType::kF32;
  std::vector<double> read, bf16, f32, few_rows;
  Rounds decode, prefill, batched;
  for (int round = 0; round < options.rounds; ++round) {
    say(fmt::format("round {} of {}", round + 1, options.rounds));
    read.push_back(ReadBandwidth(options.bandwidth_bytes));
    decode.Add(steps / Seconds([&] { Decode(model, state, 1, steps); }),
               read.back() / result.weight_bytes_per_token);
    bf16.push_back(GemmPeak(DType::kBf16));
    f32.push_back(GemmPeak(DType::kF32));
    prefill.Add(options.prompt_tokens / Seconds([&] { Prefill(*model.model, state, prompt); }),
                (type == DType::kBf16 ? bf16 : f32).back() / result.flops_per_token);
    if (options.batch == 0) continue;
    few_rows.push_back(GemmPeak(type, 1, options.batch));
    const int batch_steps = std::max(1, steps / options.batch);
    batched.Add(
        options.batch * batch_steps / Seconds([&] { Decode(model, state, options.batch, batch_steps); }),
        few_rows.back() / result.flops_per_token);
  }
  result.read_bytes_per_s = Median(read);
  result.bf16_flops = Median(bf16);
  result.f32_flops = Median(f32);
  result.batch_flops = few_rows.empty() ? 0 : Median(few_rows);
  result.decode = decode.speed();
  result.prefill = prefill.speed();
  result.batched = batched.speed();
  return result;
}

}  // namespace linnet

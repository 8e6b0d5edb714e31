// Several processes, started by mpirun: how fast they add up gradients (reduce-scatter), hand on values
// (all-gather) and do both (all-reduce), by the size of what is exchanged; and a step of data-parallel
// training against the same step in one process with as many threads. --layers 0 leaves the steps out.
//
//   mpirun -np 2 --bind-to none comm_bench [--layers 4] [--width 256] [--vocab 256] [--ctx 512] [--batch 4]
//   [--rounds 15] [--precision bf16]
//
// Each process has one thread; alone, the first one has one for each process, while the others sleep. Both
// kinds of step are measured in turns. "hidden" is the part of the time that gradients take when they are
// sent after the backward pass which the step did not wait for when they left during it.
#include <cstdio>
#include <functional>
#include <map>

#include "bench/measure.h"
#include "train/data_parallel.h"
#include "train/step.h"

namespace linnet::bench {
namespace {

struct Options {
  Dim layers = 4, width = 256, vocab = 256, ctx = 512, batch = 4, rounds = 15;
  bool bf16 = true;
};

Options Parse(int argc, char** argv) {
  Options o;
  const std::pair<std::string, Dim*> numbers[] = {{"--layers", &o.layers}, {"--width", &o.width},
                                                  {"--vocab", &o.vocab},   {"--ctx", &o.ctx},
                                                  {"--batch", &o.batch},   {"--rounds", &o.rounds}};
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i], value = argv[i + 1];
    const auto* number = std::ranges::find(numbers, flag, [](const auto& row) { return row.first; });
    Check(number != std::end(numbers) || flag == "--precision", "unknown flag {}", flag);
    if (number != std::end(numbers)) *number->second = std::stoll(value);
    if (flag == "--precision") o.bf16 = value == "bf16";
  }
  return o;
}

std::span<std::byte> Bytes(const Tensor& t) { return {static_cast<std::byte*>(t.raw()), t.bytes()}; }

/// What process `rank` of `n` owns of the values.
Tensor Part(const Tensor& values, int rank, int n) {
  const Dim begin = values.size() * rank / n, end = values.size() * (rank + 1) / n;
  return Elements(values, begin, end - begin);
}

/// What training does with gradients: each process gets the sum, over all of them, of the part that it owns.
Tensor ReduceScatter(Communicator& others, const Tensor& values) {
  const int n = others.size(), self = others.rank();
  std::vector<std::unique_ptr<Transfer>> transfers;
  for (int r = 0; r < n; ++r) {
    if (r != self) transfers.push_back(others.Send(r, Bytes(Part(values, r, n))));
  }
  const Tensor sum = Part(values, self, n).Clone(), incoming = Tensor::Empty(sum.shape());
  for (int r = 0; r < n; ++r) {
    if (r == self) continue;
    others.Receive(r, Bytes(incoming))->Wait();
    Backend::For(Device::kCpu).AddTo(incoming, sum);
  }
  for (const auto& transfer : transfers) transfer->Wait();
  return sum;
}

/// And with new values: each process sends the part that it owns to all.
void AllGather(Communicator& others, const Tensor& mine, const Tensor& values) {
  std::vector<std::unique_ptr<Transfer>> transfers;
  for (int r = 0; r < others.size(); ++r) {
    if (r == others.rank()) continue;
    transfers.push_back(others.Send(r, Bytes(mine), 1));
    transfers.push_back(others.Receive(r, Bytes(Part(values, r, others.size())), 1));
  }
  for (const auto& transfer : transfers) transfer->Wait();
}

/// GB/s that each process sends while all of them do this with `values` floats: either half, and both, which
/// make an all-reduce.
nlohmann::json Bandwidths(Communicator& others, Dim values, Dim rounds) {
  const Tensor t = RandomTensor({values}, 1), sum = Part(t, others.rank(), others.size()).Clone();
  const double a_half = static_cast<double>(t.bytes()) * (others.size() - 1) / others.size();
  const std::tuple<const char*, double, std::function<void()>> ways[] = {
      {"reduce_scatter", a_half, [&] { ReduceScatter(others, t); }},
      {"all_gather", a_half, [&] { AllGather(others, sum, t); }},
      {"all_reduce", 2 * a_half, [&] { AllGather(others, ReduceScatter(others, t), t); }}};
  std::map<std::string, std::vector<double>> speeds;
  for (Dim round = -2; round < rounds; ++round) {
    for (const auto& [name, sent, body] : ways) {
      others.Sum(0);
      const double seconds = Seconds(body);
      if (round >= 0) speeds[name].push_back(sent / seconds / 1e9);
    }
  }
  nlohmann::json report{{"bytes", t.bytes()}};
  for (const auto& [name, all] : speeds) report[name + "_gb_per_s"] = Median(all);
  return report;
}

Samples SomeText(const Options& o) {
  Samples samples;
  for (int s = 0; s < o.batch; ++s) {
    std::vector<int> tokens;
    for (Dim t = 0; t < o.ctx; ++t) tokens.push_back(static_cast<int>((t * 37 + s * 11) % 251));
    samples.batch.Append(tokens, s);
    samples.targets.insert(samples.targets.end(), tokens.begin(), tokens.end());
  }
  return samples;
}

TrainableModel Fresh(const Options& o) {
  const Architecture& rwkv7 = FindArchitecture("rwkv7");
  return NewTrainable(rwkv7,
                      rwkv7.complete_sizes({{"layers", o.layers}, {"width", o.width}, {"vocab", o.vocab}}), 1,
                      o.bf16 ? MatrixType::kBf16 : MatrixType::kF32);
}

nlohmann::json Steps(Communicator& others, const Options& o) {
  const int n = others.size();
  const Samples whole = SomeText(o), part = Share(whole, others.rank(), n);
  TrainableModel alone_weights = Fresh(o), weights = Fresh(o);
  DataParallel parallel(others, weights);
  Optimizer alone_optimizer(alone_weights, {}), optimizer(parallel.share(), {});
  const State alone_state =
                  alone_weights.model.NewState(static_cast<int>(o.batch), State::Mode::kKeepInitial),
              state = weights.model.NewState(static_cast<int>(o.batch / n), State::Mode::kKeepInitial);
  std::vector<double> together, alone, waited, waited_after, values;
  double sent = 0;
  for (Dim round = -2; round < o.rounds; ++round) {
    SetThreads(n);
    const double one = others.rank() > 0 ? 0 : Seconds([&] {
      TrainStep(alone_weights.model, alone_optimizer, std::span(&whole, 1), alone_state, 1e-4, {});
    });
    SetThreads(1);
    others.Sum(0);
    const double all = Seconds(
        [&] { TrainStep(weights.model, optimizer, std::span(&whole, 1), state, 1e-4, {}, &parallel); });
    sent = parallel.traffic().sent_bytes;
    if (round < 0) continue;
    together.push_back(all);
    alone.push_back(one);
    waited.push_back(parallel.traffic().waited_seconds);
    values.push_back(parallel.traffic().values_seconds);
    others.Sum(0);
    parallel.Begin();
    ForwardBackward(weights.model, part, state, 1e-4);
    others.Sum(0);
    parallel.Finish();
    optimizer.ClearGradients();
    waited_after.push_back(parallel.traffic().waited_seconds);
  }
  return {{"parameters", weights.model.params->count()},
          {"step_s", Median(together)},
          {"step_of_one_process_s", Median(alone)},
          {"sent_bytes_a_step", sent},
          {"waited_for_gradients_s", Median(waited)},
          {"waited_if_sent_at_the_end_s", Median(waited_after)},
          {"hidden", std::max(0.0, 1 - Median(waited) / Median(waited_after))},
          {"values_s", Median(values)}};
}

void Measure(Communicator& others, const Options& o) {
  nlohmann::json report{
      {"machine", Machine()}, {"processes", others.size()}, {"layers", o.layers}, {"width", o.width},
      {"ctx", o.ctx},         {"batch", o.batch},           {"bf16", o.bf16}};
  for (Dim kilobytes : {4, 64, 256, 1024, 4096, 16384, 65536}) {
    report["exchanged"].push_back(Bandwidths(others, kilobytes * 256, o.rounds));
  }
  if (o.layers > 0) report["step"] = Steps(others, o);
  if (others.rank() == 0) std::puts(report.dump(2).c_str());
}

}  // namespace
}  // namespace linnet::bench

int main(int argc, char** argv) {
  linnet::WaitShortly(argv);
  try {
    const auto others = linnet::Connect();
    linnet::Check(others != nullptr, "start it with mpirun -np N, N at least 2");
    linnet::bench::Measure(*others, linnet::bench::Parse(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "comm_bench: %s\n", error.what());
    std::_Exit(1);
  }
}

// Several processes, started by mpirun: what an all-reduce between them costs, and a step of data-parallel
// training against the same step in one process with as many threads.
//
//   mpirun -np 2 --bind-to none comm_bench [--layers 4] [--width 256] [--vocab 256] [--ctx 512] [--batch 4]
//   [--rounds 15] [--precision bf16]
//
// Each process has one thread; alone, the first one has one for each process, while the others sleep. Both
// kinds of step are measured in turns. "hidden" is the part of the time that gradients take when they are
// sent after the backward pass which the step did not wait for when they left during it.
#include <cstdio>

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

/// Sums `values` over all processes as training does it: each adds up one part and sends it to all.
void AllReduce(Communicator& others, const Tensor& values) {
  const int n = others.size(), self = others.rank();
  const auto part = [&](int rank) {
    const Dim begin = values.size() * rank / n, end = values.size() * (rank + 1) / n;
    return Elements(values, begin, end - begin);
  };
  const auto bytes = [](const Tensor& t) { return std::span(static_cast<std::byte*>(t.raw()), t.bytes()); };
  std::vector<std::unique_ptr<Transfer>> transfers;
  for (int r = 0; r < n; ++r) {
    if (r != self) transfers.push_back(others.Send(r, bytes(part(r))));
  }
  const Tensor sum = part(self).Clone(), incoming = Tensor::Empty(sum.shape());
  for (int r = 0; r < n; ++r) {
    if (r == self) continue;
    others.Receive(r, bytes(incoming))->Wait();
    Backend::For(Device::kCpu).AddTo(incoming, sum);
  }
  for (const auto& transfer : transfers) transfer->Wait();
  transfers.clear();
  for (int r = 0; r < n; ++r) {
    if (r == self) continue;
    transfers.push_back(others.Send(r, bytes(sum), 1));
    transfers.push_back(others.Receive(r, bytes(part(r)), 1));
  }
  for (const auto& transfer : transfers) transfer->Wait();
}

/// GB/s that each process sends while all sum up `values` floats.
double Bandwidth(Communicator& others, Dim values, Dim rounds) {
  const Tensor t = RandomTensor({values}, 1);
  std::vector<double> speeds;
  for (Dim round = -2; round < rounds; ++round) {
    others.Sum(0);
    const double seconds = Seconds([&] { AllReduce(others, t); });
    const double sent = 2.0 * static_cast<double>(t.bytes()) * (others.size() - 1) / others.size();
    if (round >= 0) speeds.push_back(sent / seconds / 1e9);
  }
  return Median(speeds);
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
  for (Dim kilobytes : {64, 1024, 4096, 65536}) {
    report["all_reduce_gb_per_s"][std::to_string(kilobytes) + " KB"] =
        Bandwidth(others, kilobytes * 256, o.rounds);
  }
  report["step"] = Steps(others, o);
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

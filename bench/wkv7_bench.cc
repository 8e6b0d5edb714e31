// The WKV-7 kernel over context lengths: time per token and head, forward and backward, as a share of the
// machine's float32 GEMM peak, and the memory that training needs. The cost per token must not depend on the
// context.
//
//   wkv7_bench [--heads 4] [--rounds 7]
#include <cstdio>

#include "bench/measure.h"
#include "kernels/backend.h"
#include "tensor/memory.h"

namespace linnet::bench {
namespace {

constexpr Dim kHeadSize = 64;

struct Point {
  Dim context;
  std::vector<double> forward, backward;  // seconds
  size_t bytes;                           // of everything that a training step keeps for the kernel
};

/// Products and sums of the chunked form per token and head, times two (wkv7_chunk.h): what the kernel asks
/// of the CPU.
double ChunkFlops(bool backward) {
  const double n = kHeadSize, c = 16, pair = 2 * c;
  const double forward_ops =
      pair * pair * n + pair * n * n + c * c * n + pair * c * n + pair * n * n + c * c / 2 * n;
  const double backward_ops = 2 * pair * pair * n + pair * n * n + 3 * c * c * n + 2 * pair * n * n +
                              2 * pair * pair * n + pair * n * n + c * c / 2 * n;
  return 2 * (backward ? backward_ops : forward_ops) / c;
}

void Round(Dim heads, Point& point) {
  Backend& backend = Backend::For(Device::kCpu);
  const Shape shape{point.context, heads * kHeadSize};
  const auto input = [&](uint64_t seed, float scale) { return RandomTensor(shape, seed, scale); };
  const auto empty = [&] { return Tensor::Empty(shape); };
  const size_t before = HostMemoryUse().in_use_bytes;
  const Wkv7Inputs in{input(1, 1), input(2, 4), input(3, 1), input(4, 1), input(5, 0.1f), input(6, 0.1f)};
  const Wkv7Inputs gradients{empty(), empty(), empty(), empty(), empty(), empty()};
  Sequences one;
  one.start = {0, static_cast<int>(point.context)};
  one.slot = {0};
  const Tensor y = input(7, 1), zeros = Tensor::Zeros({1, heads, kHeadSize, kHeadSize});
  const StateRef state{zeros, Tensor::Zeros(zeros.shape())};
  const Wkv7Saved saved{Tensor::Empty({backend.Wkv7Snapshots(one), heads, kHeadSize, kHeadSize}), empty()};
  point.bytes = HostMemoryUse().in_use_bytes - before;
  const int h = static_cast<int>(heads);
  point.forward.push_back(Seconds([&] { backend.Wkv7Forward(in, one, h, state, y, saved); }));
  point.backward.push_back(Seconds([&] { backend.Wkv7Backward(in, saved, one, h, y, {}, gradients, {}); }));
}

}  // namespace
}  // namespace linnet::bench

int main(int argc, char** argv) {
  linnet::WaitShortly(argv);
  using namespace linnet;
  using namespace linnet::bench;
  Dim heads = 4;
  int rounds = 7;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--heads") heads = std::stoi(argv[i + 1]);
    if (flag == "--rounds") rounds = std::stoi(argv[i + 1]);
  }
  std::vector<double> peaks;
  std::vector<Point> points;
  for (Dim context = 128; context <= 65536; context *= 2) points.push_back({context, {}, {}, 0});
  for (int round = 0; round <= rounds; ++round) {
    peaks.push_back(GemmPeak(DType::kF32));
    for (Point& point : points) {
      Round(heads, point);
      if (round == 0) point.forward.clear(), point.backward.clear();  // page faults of the first touch
    }
  }
  const double limit = Median(peaks);
  nlohmann::json report{
      {"machine", Machine()}, {"heads", heads}, {"head_size", kHeadSize}, {"gemm_peak_gflops", limit / 1e9}};
  for (const Point& point : points) {
    const double per = static_cast<double>(point.context * heads);
    const double forward = Median(point.forward) / per, backward = Median(point.backward) / per;
    report["contexts"].push_back(
        {{"context", point.context},
         {"forward_ns_per_token_and_head", forward * 1e9},
         {"backward_ns_per_token_and_head", backward * 1e9},
         {"forward_fraction_of_gemm_peak", ChunkFlops(false) / forward / limit},
         {"backward_fraction_of_gemm_peak", ChunkFlops(true) / backward / limit},
         {"training_bytes_per_token", static_cast<double>(point.bytes) / point.context}});
  }
  std::puts(report.dump(2).c_str());
}

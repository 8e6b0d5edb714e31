// Products with weights of every type: decoding (1 row) against the memory's bandwidth, 32 rows and prompts
// (512 rows) against the GEMM peak, all measured in turns in one run.
//
//   products_bench [--width 2048] [--megabytes 512] [--rounds 7]
#include <array>
#include <cstdio>
#include <cstring>

#include "bench/measure.h"
#include "infer/machine.h"

namespace linnet::bench {
namespace {

constexpr DType kTypes[] = {DType::kF32,  DType::kBf16, DType::kF16,  DType::kQ8_0,
                            DType::kQ6_K, DType::kQ5_K, DType::kQ5_1, DType::kQ5_0,
                            DType::kQ4_K, DType::kQ4_1, DType::kQ4_0};

struct Case {
  DType type;
  Tensor wide;    // [many, width], larger than any cache
  Tensor square;  // [width, width]
  std::vector<double> bandwidth, rows32, rows512;
};

Tensor Weights(Dim rows, Dim width, DType type) {
  // One random block of rows many times over: quantising gigabytes would take minutes and change nothing.
  const Dim distinct = std::min<Dim>(rows, 256);
  const Tensor values = RandomTensor({distinct, width}, 1, 0.02f),
               few = Tensor::Empty({distinct, width}, type);
  Backend::For(Device::kCpu).Convert(values, few);
  const Tensor many = Tensor::Empty({rows, width}, type);
  for (Dim at = 0; at < rows; at += distinct) {
    const size_t row_bytes = few.bytes() / distinct;
    std::memcpy(static_cast<std::byte*>(many.raw()) + at * row_bytes, few.raw(),
                std::min(distinct, rows - at) * row_bytes);
  }
  return many;
}

double Product(const Tensor& weight, Dim rows) {
  const DType type = weight.dtype() == DType::kF32 ? DType::kF32 : DType::kBf16;
  const Tensor x = Tensor::Empty({rows, weight.dim(1)}, type), y = Tensor::Empty({rows, weight.dim(0)});
  Backend::For(Device::kCpu).Convert(RandomTensor(x.shape(), 2), x);
  return Seconds([&] { Backend::For(Device::kCpu).Project(std::array{Projection{x, weight, true, y}}); });
}

nlohmann::json Run(Dim width, Dim megabytes, int rounds) {
  std::vector<Case> cases;
  for (DType type : kTypes) {
    const double bytes =
        static_cast<double>(width) * Traits(type).bytes_per_block / Traits(type).values_per_block;
    cases.push_back({type,
                     Weights(static_cast<Dim>(megabytes * 1e6 / bytes), width, type),
                     Weights(width, width, type),
                     {},
                     {},
                     {}});
  }
  std::vector<double> read, peak;
  for (int round = 0; round < rounds; ++round) {
    read.push_back(ReadBandwidth(size_t{1} << 30));
    peak.push_back(GemmPeak(DType::kBf16));
    for (Case& c : cases) {
      c.bandwidth.push_back(static_cast<double>(c.wide.bytes()) / Product(c.wide, 1) / read.back());
      const double flops = 2.0 * static_cast<double>(width) * static_cast<double>(width);
      c.rows32.push_back(32 * flops / Product(c.square, 32) / peak.back());
      c.rows512.push_back(512 * flops / Product(c.square, 512) / peak.back());
    }
  }
  nlohmann::json types;
  for (const Case& c : cases) {
    types[std::string(Traits(c.type).name)] = {{"decode_fraction_of_bandwidth", Median(c.bandwidth)},
                                               {"rows_32_fraction_of_bf16_peak", Median(c.rows32)},
                                               {"rows_512_fraction_of_bf16_peak", Median(c.rows512)}};
  }
  return {{"machine", Machine()},
          {"width", width},
          {"read_gb_per_s", Median(read) / 1e9},
          {"bf16_gemm_gflops", Median(peak) / 1e9},
          {"types", types}};
}

}  // namespace
}  // namespace linnet::bench

int main(int argc, char** argv) {
  linnet::WaitShortly(argv);
  using namespace linnet::bench;
  const auto number = [&](const char* name, long standard) {
    for (int i = 1; i + 1 < argc; ++i) {
      if (std::strcmp(argv[i], name) == 0) return std::atol(argv[i + 1]);
    }
    return standard;
  };
  if (number("--threads", 0) > 0) linnet::SetThreads(static_cast<int>(number("--threads", 0)));
  std::printf("%s\n", Run(number("--width", 2048), number("--megabytes", 512),
                          static_cast<int>(number("--rounds", 7)))
                          .dump(2)
                          .c_str());
}

// The diagonal scan beside a memory copy of its inputs and outputs by the same threads, measured in turns:
// forward (reads a, b, writes h) and backward (reads a, h, dh, writes da, db), of real and complex numbers,
// with factors of each row and with one for all.
//
//   scan_bench [--batch 8] [--context 512] [--width 512] [--rounds 15]
#include <cstdio>
#include <cstring>
#include <functional>

#include "bench/measure.h"
#include "kernels/backend.h"

namespace linnet::bench {
namespace {

struct Shapes {
  Dim batch, context, width;
  Tensor Rows(uint64_t seed) const { return RandomTensor({batch * context, width}, seed, 0.7f); }
  Sequences All() const {
    Sequences all;
    for (Dim s = 0; s < batch; ++s) {
      all.slot.push_back(static_cast<int>(s));
      all.start.push_back(static_cast<int>((s + 1) * context));
    }
    return all;
  }
};

/// What is measured: the scan and a copy of `bytes`.
struct Subject {
  std::string name;
  std::function<void()> scan;
  size_t bytes;
  std::vector<double> scan_seconds{}, copy_seconds{};
};

void Copy(const Tensor& from, const Tensor& to, size_t bytes) {
  ParallelFor(static_cast<int64_t>(bytes), 1 << 16, [&](int64_t begin, int64_t end) {
    std::memcpy(static_cast<char*>(to.raw()) + begin, static_cast<const char*>(from.raw()) + begin,
                end - begin);
  });
}

void AddSubjects(Backend& backend, const Shapes& shapes, const std::string& name, ScanKind kind, bool of_rows,
                 std::vector<Subject>& subjects) {
  const Tensor a = of_rows ? shapes.Rows(1) : RandomTensor({shapes.width}, 1, 0.7f), b = shapes.Rows(2),
               h = shapes.Rows(3), dh = shapes.Rows(4), db = shapes.Rows(5),
               da = of_rows ? shapes.Rows(6) : RandomTensor({shapes.batch, shapes.width}, 6);
  const Tensor zeros = Tensor::Zeros({shapes.batch, shapes.width}), last = zeros.Clone();
  const Sequences all = shapes.All();
  subjects.push_back({name + ", forward",
                      [=, &backend] {
                        backend.Scan({a, b}, kind, all, {zeros, last}, h);
                      },
                      a.bytes() + b.bytes() + h.bytes()});
  const size_t read = kind == ScanKind::kAverage ? b.bytes() : 0;
  subjects.push_back({name + ", backward",
                      [=, &backend] {
                        backend.ScanBackward({a, b}, kind, all, zeros, h, dh, {}, {da, db}, {});
                      },
                      a.bytes() + h.bytes() + read + dh.bytes() + da.bytes() + db.bytes()});
}

}  // namespace
}  // namespace linnet::bench

int main(int argc, char** argv) {
  linnet::WaitShortly(argv);
  using namespace linnet;
  using namespace linnet::bench;
  Shapes shapes{8, 512, 512};
  int rounds = 15;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--batch") shapes.batch = std::stoi(argv[i + 1]);
    if (flag == "--context") shapes.context = std::stoi(argv[i + 1]);
    if (flag == "--width") shapes.width = std::stoi(argv[i + 1]);
    if (flag == "--rounds") rounds = std::stoi(argv[i + 1]);
  }
  Backend& backend = Backend::For(Device::kCpu);
  std::vector<Subject> subjects;
  AddSubjects(backend, shapes, "sum", ScanKind::kSum, true, subjects);
  AddSubjects(backend, shapes, "average", ScanKind::kAverage, true, subjects);
  AddSubjects(backend, shapes, "complex", ScanKind::kComplex, true, subjects);
  AddSubjects(backend, shapes, "complex, fixed factors", ScanKind::kComplex, false, subjects);
  const Tensor from = RandomTensor({6, shapes.batch * shapes.context, shapes.width}, 1), to = from.Clone();
  for (int round = 0; round <= rounds; ++round) {
    for (Subject& s : subjects) {
      const double scan = Seconds(s.scan), copy = Seconds([&] { Copy(from, to, s.bytes); });
      if (round == 0) continue;  // page faults of the first touch
      s.scan_seconds.push_back(scan);
      s.copy_seconds.push_back(copy);
    }
  }
  nlohmann::json report{
      {"machine", Machine()}, {"batch", shapes.batch}, {"context", shapes.context}, {"width", shapes.width}};
  for (const Subject& s : subjects) {
    std::vector<double> ratios;
    for (size_t i = 0; i < s.scan_seconds.size(); ++i)
      ratios.push_back(s.scan_seconds[i] / s.copy_seconds[i]);
    report["scans"][s.name] = {{"milliseconds", Median(s.scan_seconds) * 1e3},
                               {"gigabytes_per_second", s.bytes / Median(s.scan_seconds) * 1e-9},
                               {"times_a_copy", Median(ratios)}};
  }
  std::puts(report.dump(2).c_str());
}

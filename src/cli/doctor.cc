// linnet doctor: what this machine offers, what of it is used, and what that means for models. With --json
// one object:
//   cpu, vectors, bf16_products, threads, cores, load_average, memory_gb, memory_available_gb, read_gb_per_s,
//   gemm_gflops, gemm_f32_gflops, gpu (null: there is no back end for any), notes [text]
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/parallel.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "infer/machine.h"
#include "kernels/cpu/features.h"

namespace linnet {
namespace {

using Json = nlohmann::ordered_json;

/// The number of kilobytes that /proc/meminfo gives for `name`, in gigabytes.
double MemoryGigabytes(const std::string& name) {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name + ":"))
      return std::strtod(line.c_str() + name.size() + 1, nullptr) * 1024 / 1e9;
  }
  return 0;
}

double LoadAverage() {
  double load = 0;
  std::ifstream("/proc/loadavg") >> load;
  return load;
}

/// What a user could mend.
std::vector<std::string> Notes(const Json& r) {
  std::vector<std::string> notes;
  const auto number = [&](const char* name) { return r[name].get<double>(); };
  if (number("load_average") > 0.5 * number("cores")) {
    notes.push_back(
        fmt::format("other programs keep {:.1f} cores busy (load average): speeds here and in use are lower "
                    "than they could be",
                    number("load_average")));
  }
  if (number("threads") < number("cores"))
    notes.push_back("fewer threads than cores were asked for (--threads)");
  if (!r["bf16_products"].get<bool>()) {
    notes.push_back(
        "this CPU has no instructions for products of bf16: weights of 16 bits and less are widened to "
        "float32 before they are multiplied, prompts are read at less than half the speed");
  }
  if (number("memory_available_gb") < 2)
    notes.push_back(
        "less than 2 GB of memory are free: models larger than that "
        "are read from the disk for every token");
  return notes;
}

Json Examine() {
  const CpuFeatures features = FeaturesInUse();
  ProgressLine progress(stderr);
  Json r = {{"cpu", CpuName()},
            {"vectors", features.vectors},
            {"bf16_products", features.bf16_products},
            {"threads", Threads()},
            {"cores", PhysicalCores()},
            {"load_average", LoadAverage()},
            {"memory_gb", MemoryGigabytes("MemTotal")},
            {"memory_available_gb", MemoryGigabytes("MemAvailable")}};
  progress.Show("measuring how fast memory is read");
  r["read_gb_per_s"] = ReadBandwidth(size_t{1} << 30, 3) / 1e9;
  progress.Show("measuring how fast matrices are multiplied");
  r["gemm_gflops"] = GemmPeak(DType::kBf16, 3) / 1e9;
  r["gemm_f32_gflops"] = GemmPeak(DType::kF32, 3) / 1e9;
  r["gpu"] = nullptr;
  r["notes"] = Notes(r);
  progress.Finish("measured");
  return r;
}

void PrintScreen(const Json& r) {
  const auto number = [&](const char* name) { return r[name].get<double>(); };
  const double read = number("read_gb_per_s"), gemm = number("gemm_gflops");
  fmt::print("cpu        {}, {}{}\n", r["cpu"].get<std::string>(), r["vectors"].get<std::string>(),
             r["bf16_products"].get<bool>() ? " with products of bf16" : "");
  fmt::print("threads    {} of {} cores\n", r["threads"].get<int>(), r["cores"].get<int>());
  fmt::print("memory     {:.1f} GB, {:.1f} GB free\n", number("memory_gb"), number("memory_available_gb"));
  fmt::print(
      "reads      {:.1f} GB/s: a token takes all weights once, so that 1 GB of them allow {:.0f} tokens/s\n",
      read, read);
  fmt::print(
      "multiplies {:.0f} GFLOP/s in bf16, {:.0f} in float32: prompts take two operations for each weight, so "
      "that "
      "a model\n           of 1 billion weights reads up to {:.0f} tokens/s\n",
      gemm, number("gemm_f32_gflops"), gemm / 2);
  fmt::print("gpu        none is used: this version computes on the CPU\n");
  for (const auto& note : r["notes"]) fmt::print("note: {}\n", note.get<std::string>());
}

}  // namespace

void AddDoctor(CLI::App& app) {
  struct Options {
    int threads = 0;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("doctor", "Say what this machine can do, and what that means for models");
  command->add_option("--threads", options->threads, "Threads; one a physical core if not given")
      ->check(CLI::Range(1, 4096));
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer("Example: linnet doctor");
  command->callback([options] {
    if (options->threads > 0) SetThreads(options->threads);
    const Json report = Examine();
    if (options->json) {
      fmt::print("{}\n", report.dump());
    } else {
      PrintScreen(report);
    }
  });
}

}  // namespace linnet

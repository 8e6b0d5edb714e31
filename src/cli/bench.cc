// linnet bench: how fast a model runs here. With --json this is a stable contract, one object with
//   model {name, parameters, dtype, weight_bytes_per_token, state_bytes, flops_per_token}
//   machine {cpu, threads, read_gb_per_s, gemm_gflops, gemm_f32_gflops}
//   decode {tokens_per_s, fraction_of_limit, limit_tokens_per_s}
//   prefill {tokens_per_s, fraction_of_gemm_peak, prompt_tokens}
//   batch {sequences, tokens_per_s, fraction_of_gemm_peak, gemm_gflops}   (the peak is that of as many rows)
//   open {seconds_to_first_token, resident_mb}: a file's opening, its first token and the memory after them
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/parallel.h"
#include "cli/commands.h"
#include "cli/model_options.h"
#include "cli/terminal.h"
#include "infer/benchmark.h"
#include "infer/machine.h"

namespace linnet {
namespace {

using Json = nlohmann::ordered_json;

struct BenchOptions {
  ModelOptions model;
  std::string shape, architecture = "rwkv7", dtype = "bf16";
  BenchmarkOptions benchmark;
  bool json = false;
};

/// The published sizes of RWKV World models.
struct PublishedShape {
  const char* name;
  Dim layers, width;
};
constexpr PublishedShape kShapes[] = {{"0.1B", 12, 768},  {"0.4B", 24, 1024}, {"1.5B", 24, 2048},
                                      {"2.9B", 32, 2560}, {"7.2B", 32, 4096}, {"13.3B", 61, 4096}};
constexpr Dim kWorldVocabulary = 65536;
constexpr const char* kTypeNames = "f32, bf16, f16, q8_0, q6_k, q5_k, q5_1, q5_0, q4_k, q4_1, q4_0";

DType TypeOfName(const std::string& name) {
  for (size_t i = 0; i < std::size(kDTypes); ++i) {
    const auto type = static_cast<DType>(i);
    if (kDTypes[i].name == name && IsReal(type) && type != DType::kF64) return type;
  }
  Fail("--dtype: there is no type '{}' for weights; known are {}", name, kTypeNames);
}

std::string ShapeNames() {
  std::string names;
  for (const PublishedShape& shape : kShapes) names += (names.empty() ? "" : ", ") + std::string(shape.name);
  return names;
}

LoadedModel RandomModel(const BenchOptions& options) {
  for (const PublishedShape& shape : kShapes) {
    if (options.shape != shape.name) continue;
    const Architecture& architecture = FindArchitecture(options.architecture);
    const Sizes sizes = architecture.complete_sizes(
        {{"layers", shape.layers}, {"width", shape.width}, {"vocab", kWorldVocabulary}});
    return NewModel(architecture, sizes, RandomMatrices{TypeOfName(options.dtype)});
  }
  Fail("--shape: there is no '{}'; known are {}", options.shape, ShapeNames());
}

double ResidentMegabytes() {
  std::ifstream statm("/proc/self/statm");
  double total = 0, resident = 0;
  statm >> total >> resident;
  return resident * 4096 / 1e6;
}

Json Report(const BenchOptions& options, const LoadedModel& model, const Benchmark& b, double open_s,
            double resident_mb) {
  Json report;
  report["model"] = {
      {"name", options.shape.empty() ? options.model.path : options.architecture + " " + options.shape},
      {"parameters", model.params->count()},
      {"dtype", Traits(model.model->head().dtype()).name},
      {"weight_bytes_per_token", b.weight_bytes_per_token},
      {"state_bytes", b.state_bytes},
      {"flops_per_token", b.flops_per_token}};
  report["machine"] = {{"cpu", CpuName()},
                       {"threads", Threads()},
                       {"read_gb_per_s", b.read_bytes_per_s / 1e9},
                       {"gemm_gflops", b.bf16_flops / 1e9},
                       {"gemm_f32_gflops", b.f32_flops / 1e9}};
  report["decode"] = {{"tokens_per_s", b.decode.tokens_per_s},
                      {"fraction_of_limit", b.decode.fraction},
                      {"limit_tokens_per_s", b.read_bytes_per_s / b.weight_bytes_per_token}};
  report["prefill"] = {{"tokens_per_s", b.prefill.tokens_per_s},
                       {"fraction_of_gemm_peak", b.prefill.fraction},
                       {"prompt_tokens", options.benchmark.prompt_tokens}};
  if (options.benchmark.batch > 0) {
    report["batch"] = {{"sequences", options.benchmark.batch},
                       {"tokens_per_s", b.batched.tokens_per_s},
                       {"fraction_of_gemm_peak", b.batched.fraction},
                       {"gemm_gflops", b.batch_flops / 1e9}};
  }
  if (options.shape.empty())
    report["open"] = {{"seconds_to_first_token", open_s}, {"resident_mb", resident_mb}};
  return report;
}

void PrintScreen(const Json& r) {
  const auto number = [&](const char* part, const char* name) { return r[part][name].get<double>(); };
  fmt::print("{}: {} parameters, {}, {:.1f} MB of weights a token, {:.2f} MB of state\n",
             r["model"]["name"].get<std::string>(), WithCommas(r["model"]["parameters"].get<int64_t>()),
             r["model"]["dtype"].get<std::string>(), number("model", "weight_bytes_per_token") / 1e6,
             number("model", "state_bytes") / 1e6);
  fmt::print("{}, {} threads: reads {:.1f} GB/s, multiplies {:.0f} GFLOP/s in bf16, {:.0f} in f32\n",
             r["machine"]["cpu"].get<std::string>(), r["machine"]["threads"].get<int>(),
             number("machine", "read_gb_per_s"), number("machine", "gemm_gflops"),
             number("machine", "gemm_f32_gflops"));
  const auto line = [&](const std::string& what, const char* part, const char* fraction, const char* limit) {
    fmt::print("{:<24}{:>9.1f} tokens/s  {:>4.0f}% of {}\n", what, number(part, "tokens_per_s"),
               100 * number(part, fraction), limit);
  };
  line("decode", "decode", "fraction_of_limit", "what reading the weights allows");
  line(fmt::format("prompt of {} tokens", r["prefill"]["prompt_tokens"].get<int>()), "prefill",
       "fraction_of_gemm_peak", "the GEMM peak");
  if (r.contains("batch")) {
    line(fmt::format("decode, {} sequences", r["batch"]["sequences"].get<int>()), "batch",
         "fraction_of_gemm_peak", "the GEMM peak at as many rows");
  }
  if (r.contains("open")) {
    fmt::print("opened, first token after {:.2f} s; {:.0f} MB resident\n",
               number("open", "seconds_to_first_token"), number("open", "resident_mb"));
  }
}

void RunBench(const BenchOptions& options) {
  const bool random = !options.shape.empty();
  Check(random != !options.model.path.empty(), "give either a model file or --shape, as in --shape 0.4B");
  Check(!random || options.model.loras.empty(), "--lora goes with a model file, not with --shape");
  options.model.ApplyThreads();
  const auto start = std::chrono::steady_clock::now();
  const LoadedModel model = random ? RandomModel(options) : options.model.Load();
  Batch first;
  first.Append({0}, 0);
  model.model->Forward(first, model.NewState(1));
  const double open_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double resident_mb = ResidentMegabytes();
  ProgressLine progress(stderr);
  BenchmarkOptions benchmark = options.benchmark;
  benchmark.on_progress = [&](const std::string& what) { progress.Show(what); };
  const Json report = Report(options, model, RunBenchmark(model, benchmark), open_s, resident_mb);
  progress.Finish("done");
  if (options.json) {
    fmt::print("{}\n", report.dump());
  } else {
    PrintScreen(report);
  }
}

}  // namespace

void AddBench(CLI::App& app) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command =
      app.add_subcommand("bench", "Measure how fast a model runs here, and how fast it could");
  options->model.AddTo(*command);
  command->get_option("model")->required(false);
  command->add_option("--shape", options->shape,
                      "Instead of a file: random weights in a published shape: " + ShapeNames());
  command
      ->add_option("--arch", options->architecture,
                   "The architecture of --shape; linnet train --help lists them")
      ->capture_default_str();
  command
      ->add_option("--dtype", options->dtype,
                   fmt::format("The type of the weights of --shape: {}", kTypeNames))
      ->capture_default_str();
  command->add_option("--prompt", options->benchmark.prompt_tokens, "Tokens of the prompt")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command
      ->add_option("--batch", options->benchmark.batch, "Sequences that decode together; 0 leaves them out")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  command
      ->add_option("--rounds", options->benchmark.rounds, "Times that all is measured; medians are reported")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer("Example: linnet bench --shape 0.4B --dtype q8_0 --threads 2");
  command->callback([options] { RunBench(*options); });
}

}  // namespace linnet

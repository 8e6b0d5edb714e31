#include "cli/model_options.h"

#include <unistd.h>

#include <cstdio>

#include "base/parallel.h"
#include "cli/terminal.h"
#include "nn/lora.h"
#include "text/tokenizer_of.h"

namespace linnet {

void ModelOptions::AddTo(CLI::App& command) {
  command.add_option("model", path, "The model: .safetensors, .pth, .gguf, .bin of rwkv.cpp, or a folder")
      ->required()
      ->type_name("FILE");
  command
      .add_option("--precision", precision,
                  "fp32: float32 arithmetic on exactly widened weights; default: bf16 products unless "
                  "weights are f32")
      ->check(CLI::IsMember({"fp32", "default"}))
      ->capture_default_str();
  command
      .add_option(
          "--tokenizer,--vocab", tokenizer,
          "bytes, world, 20B, or a vocabulary file; if not given, the one in or near the model's file")
      ->type_name("FILE");
  command.add_option("--threads", threads, "Threads; one a physical core if not given")
      ->check(CLI::Range(1, 4096));
  command
      .add_option(
          "--context", context,
          "Tokens that attention remembers, in models that have any (rwkv7b: 4096, rwkv8: 1024 if not "
          "given)")
      ->check(CLI::Range(Dim{1}, Dim{1} << 24));
  command
      .add_option("--bits", bits,
                  "Bits of a symbol of ROSA, which files of rwkv8 do not say (1 if not given)")
      ->check(CLI::IsMember({1, 4}));
  command
      .add_option(
          "--lora", loras,
          "A LoRA to add to the model, of linnet train --lora or RWKV-PEFT; FILE:0.5 adds half of it. May "
          "be given several times")
      ->type_name("FILE[:FACTOR]")
      ->allow_extra_args(false);
}

void ModelOptions::ApplyThreads() const {
  if (threads == 0) return;
  const int used = SetThreads(threads);
  if (used < threads) {
    fmt::print(
        stderr,
        "linnet: --threads {}: this machine has {} cores for it; {} are used, as more would slow it down\n",
        threads, PhysicalCores(), used);
  }
}

LoadedModel ModelOptions::Load() const {
  ApplyThreads();
  Sizes chosen;
  if (context > 0) chosen["context"] = context;
  if (bits > 0) chosen["bits"] = bits;
  const MatrixType matrices = precision == "fp32" ? MatrixType::kF32 : MatrixType::kStored;
  LoadedModel model = LoadModel(path, matrices, Access::kRead, chosen);
  if (!loras.empty()) Adapt(model, ReadAdapters(loras, model));
  return model;
}

std::shared_ptr<const Adapters> ReadAdapters(const std::vector<std::string>& loras,
                                             const LoadedModel& model) {
  std::vector<LoraChoice> choices;
  for (const std::string& text : loras) choices.push_back(LoraChoice::Parse(text));
  const ReadLorasResult result = ReadLoras(choices, model);
  if (!result.warning.empty()) fmt::print(stderr, "linnet: {}\n", result.warning);
  return result.adapters;
}

Snapshot ReadStateIn(const std::string& path, const LoadedModel& model, const Tokenizer& tokenizer) {
  ReadSnapshotResult result = ReadSnapshot(path, model, tokenizer.name());
  if (!result.warning.empty()) fmt::print(stderr, "linnet: {}\n", result.warning);
  return std::move(result.snapshot);
}

std::unique_ptr<Tokenizer> ModelOptions::OpenTokenizer(const LoadedModel& model) const {
  return linnet::OpenTokenizer(model, path, tokenizer);
}

std::unique_ptr<Tokenizer> OpenTokenizer(const LoadedModel& model, const std::string& path,
                                         const std::string& wanted) {
  const auto named = model.metadata.find("tokenizer");
  return TokenizerOf({.model = path,
                      .vocab = model.vocab(),
                      .wanted = wanted,
                      .named = named == model.metadata.end() ? "" : named->second,
                      .tokens = model.vocabulary});
}

void Progress::Update(int64_t done, int64_t total) {
  using namespace std::chrono_literals;
  const auto now = std::chrono::steady_clock::now();
  if (now - start_ < 1s || now - shown_ < 200ms || !isatty(STDERR_FILENO)) return;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double left = done > 0 ? seconds / static_cast<double>(done) * static_cast<double>(total - done) : 0;
  fmt::print(stderr, "\r{}: {} of {} {}, {} left\x1b[K", what_, WithCommas(done), WithCommas(total), units_,
             ClockTime(left));
  std::fflush(stderr);
  shown_ = now;
  visible_ = true;
}

void Progress::Clear() {
  if (!visible_) return;
  fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
  visible_ = false;
}

}  // namespace linnet

// linnet explain spikes: how often a model's neurons say 1 while it reads a text. With --json one object,
//   {"tokens": n, "embedding": rate, "blocks": [{"time_mix": rate, "channel_mix": rate}, ...], "mean": rate}
// where the mean is that of the blocks.
#include <memory>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "cli/lab_commands.h"
#include "cli/model_options.h"
#include "cli/terminal.h"
#include "infer/generator.h"
#include "ops/spikes.h"

namespace linnet {
namespace {

using Json = nlohmann::ordered_json;

struct SpikesOptions {
  ModelOptions model;
  std::string data;
  int tokens = 4096;
  bool json = false;
};

void Print(const ops::SpikeCount& count, size_t tokens, bool json) {
  Json blocks = Json::array();
  const auto rate = [&](int site) { return count.sites().at(site).rate(); };
  for (int site = 1; count.sites().contains(site + 1); site += 2) {
    blocks.push_back({{"time_mix", rate(site)}, {"channel_mix", rate(site + 1)}});
  }
  const double mean = count.RateOfBlocks().value_or(0);
  if (json) {
    const Json all{{"tokens", tokens}, {"embedding", rate(0)}, {"blocks", blocks}, {"mean", mean}};
    fmt::print("{}\n", all.dump());
    return;
  }
  fmt::print("Share of ones over {} tokens\n\nembedding  {:.4f}\n\nblock  time mix  channel mix\n",
             WithCommas(static_cast<int64_t>(tokens)), rate(0));
  for (size_t i = 0; i < blocks.size(); ++i) {
    fmt::print("{:>5}  {:>8.4f}  {:>11.4f}\n", i, blocks[i]["time_mix"].get<double>(),
               blocks[i]["channel_mix"].get<double>());
  }
  fmt::print("\nof all blocks {:.4f}\n", mean);
}

void RunSpikes(const SpikesOptions& options) {
  const LoadedModel model = options.model.Load();
  std::vector<int> tokens = options.model.OpenTokenizer(model)->Encode(ReadFile(options.data));
  Check(!tokens.empty(), "{}: is empty; give a text with --data", options.data);
  tokens.resize(std::min<size_t>(tokens.size(), options.tokens));
  const State state = model.NewState(1);
  const ops::SpikeCount count;
  Progress progress("reading");
  Prefill(*model.model, state, tokens, 0, [&](int64_t done) {
    progress.Update(done, static_cast<int64_t>(tokens.size()));
    return true;
  });
  progress.Clear();
  Check(!count.sites().empty(), "{}: {} has no spiking neurons; give a model of spikegpt", options.model.path,
        model.architecture->title);
  Print(count, tokens.size(), options.json);
}

}  // namespace

void AddExplainSpikes(CLI::App& explain) {
  auto options = std::make_shared<SpikesOptions>();
  CLI::App* command =
      explain.add_subcommand("spikes", "How often the neurons of a SpikeGPT spike while it reads");
  options->model.AddTo(*command);
  command->add_option("--data", options->data, "The text")->required()->type_name("FILE");
  command->add_option("--tokens", options->tokens, "At most so many of it")
      ->check(CLI::Range(1, 1 << 30))
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer("Example: linnet explain spikes model.safetensors --data book.txt");
  command->callback([options] { RunSpikes(*options); });
}

}  // namespace linnet

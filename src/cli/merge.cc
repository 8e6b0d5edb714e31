// linnet merge: a model with what was fine-tuned beside it folded in: LoRAs into its matrices, a tuned state
// as the state that its texts begin with. With --json one object: source, file, adapted (number of weights),
// states (number of layers), file_bytes.
#include <nlohmann/json.hpp>

#include "base/parallel.h"
#include "cli/commands.h"
#include "cli/dtype_option.h"
#include "cli/model_options.h"
#include "cli/terminal.h"
#include "cli/written_vocabulary.h"
#include "nn/conversion.h"
#include "nn/lora.h"

namespace linnet {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

struct MergeOptions {
  std::string source, target, state, tokenizer, dtype = "stored";
  std::vector<std::string> loras;
  int threads = 0;
  bool force = false, json = false;
};

FileFormat CheckedFormat(const MergeOptions& options) {
  Check(!options.loras.empty() || !options.state.empty(),
        "there is nothing to fold into {}; give --lora FILE or --state FILE", options.source);
  const FileFormat format = FormatOfName(options.target);
  Check(format != FileFormat::kGguf || options.state.empty(),
        "{}: a GGUF has no place for the state that texts begin with; write a .safetensors or .pth, or leave "
        "--state out",
        options.target);
  if (fs::exists(options.target)) {
    Check(!fs::equivalent(options.source, options.target), "{}: is the model itself; give another --out",
          options.target);
    Check(options.force, "{}: exists; give another name, or --force to replace it", options.target);
  }
  return format;
}

/// Puts the tuned state in a file into the model to be. Returns for how many layers.
size_t PutState(const std::string& path, Conversion& conversion) {
  const StateFile file = ReadStateFile(path);
  Check(file.tuned(),
        "{}: is the state after a text; only what --tune state has trained can be a model's own", path);
  ReadSnapshot(path, conversion.model(), "");  // throws where it does not fit
  for (const auto& [name, values] : file.variables) conversion.Put(name, values);
  return file.variables.size();
}

void RunMerge(const MergeOptions& options) {
  if (options.threads > 0) SetThreads(options.threads);
  const FileFormat format = CheckedFormat(options);
  Conversion conversion(options.source, format, TypeAskedFor(options.dtype));
  const auto adapters = ReadAdapters(options.loras, conversion.model());
  conversion.Fold(adapters);
  const size_t layers = options.state.empty() ? 0 : PutState(options.state, conversion);
  const auto vocabulary = format == FileFormat::kGguf
                              ? VocabularyToWrite(conversion.model(), options.source, options.tokenizer)
                              : std::vector<std::string>();
  {
    Progress progress("merging", "tensors");
    const auto total = static_cast<int64_t>(conversion.items().size());
    conversion.Write(options.target, vocabulary,
                     [&](size_t i) { progress.Update(static_cast<int64_t>(i), total); });
  }
  const Json result = {{"source", options.source},
                       {"file", options.target},
                       {"adapted", adapters->size()},
                       {"states", layers},
                       {"file_bytes", fs::file_size(options.target)}};
  if (options.json) {
    fmt::print("{}\n", result.dump(-1, ' ', false, Json::error_handler_t::replace));
  } else {
    fmt::print("{}: {} matrices changed, the initial states of {} layers put in, {} bytes\n", options.target,
               adapters->size(), layers, WithCommas(static_cast<int64_t>(fs::file_size(options.target))));
  }
}

}  // namespace

void AddMerge(CLI::App& app) {
  auto options = std::make_shared<MergeOptions>();
  CLI::App* command = app.add_subcommand("merge", "Fold a LoRA or a tuned state into its model");
  command->add_option("source", options->source, "The model that it was trained beside")
      ->required()
      ->type_name("BASE");
  command
      ->add_option("--lora", options->loras,
                   "The LoRA; FILE:0.5 folds in half of it. May be given several times")
      ->type_name("FILE[:FACTOR]")
      ->allow_extra_args(false);
  command->add_option("--state", options->state, "The tuned state")->type_name("FILE");
  command->add_option("-o,--out", options->target, "The file to write: .safetensors, .gguf or .pth")
      ->required()
      ->type_name("OUT");
  AddDtypeOption(command, options->dtype,
                 "The type of matrices; stored leaves them as they are in BASE, quantised ones, too");
  command
      ->add_option("--tokenizer,--vocab", options->tokenizer,
                   "For a .gguf: bytes, world, or a vocabulary file; if not given, the one in or near BASE")
      ->type_name("FILE");
  command->add_option("--threads", options->threads, "Threads; one a physical core if not given")
      ->check(CLI::Range(1, 4096));
  command->add_flag("--force", options->force, "Replace OUT if it exists");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer("Example: linnet merge model.pth --lora tuned/model.safetensors -o merged.safetensors");
  command->callback([options] { RunMerge(*options); });
}

}  // namespace linnet

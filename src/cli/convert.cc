// linnet convert: a model file written again in another format or other types of numbers and, with --verify,
// compared with what it was made of. With --json one object:
//   source, source_bytes, file, format, file_bytes, tensors, dtypes ("q4_k x 12, f32 x 40"), notes: what was
//   not done as asked; verify, if asked for: tokens, mean_kl, largest_kl, source_perplexity, perplexity,
//   perplexity_change_percent, same_top (a share).
#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/parallel.h"
#include "cli/commands.h"
#include "cli/dtype_option.h"
#include "cli/model_options.h"
#include "cli/terminal.h"
#include "cli/written_vocabulary.h"
#include "infer/divergence.h"
#include "nn/conversion.h"

namespace linnet {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

struct ConvertOptions {
  std::string source, target, dtype = "stored", format, verify, tokenizer;
  int64_t verify_tokens = 4096;
  int threads = 0;
  bool force = false, json = false;
};

FileFormat FormatAskedFor(const ConvertOptions& options) {
  return FormatOfName(options.format.empty() ? fs::path(options.target) : fs::path("out." + options.format));
}

const char* NameOf(FileFormat format) {
  switch (format) {
    case FileFormat::kSafetensors:
      return "safetensors";
    case FileFormat::kGguf:
      return "gguf";
    case FileFormat::kPth:
      break;
  }
  return "pth";
}

/// Before anything is read: nothing is lost by a slip of the hand.
void CheckTarget(const ConvertOptions& options) {
  if (!fs::exists(options.target)) return;
  Check(!fs::equivalent(options.source, options.target),
        "{}: is the model itself; a conversion never replaces what it reads: give another OUT",
        options.target);
  Check(options.force, "{}: exists; give another name, or --force to replace it", options.target);
}

std::unique_ptr<Tokenizer> TokenizerFor(const ConvertOptions& options, const LoadedModel& model) {
  return OpenTokenizer(model, options.source, options.tokenizer);
}

/// What is to be compared. No token is put in front: a byte model may never have seen the one that ends
/// texts, and rounding its unlearnt embedding changes all that follows.
std::vector<int> VerifyTokens(const ConvertOptions& options, const LoadedModel& model) {
  std::vector<int> tokens = TokenizerFor(options, model)->Encode(ReadFile(options.verify));
  Check(tokens.size() >= 2, "{}: has {} tokens; comparing the models takes at least two", options.verify,
        tokens.size());
  tokens.resize(std::min(tokens.size(), static_cast<size_t>(options.verify_tokens) + 1));
  return tokens;
}

/// What is not as asked for: a vocabulary lost, matrices whose rows are no whole number of blocks.
std::vector<std::string> Notes(const Conversion& conversion, FileFormat format, std::optional<DType> type) {
  std::map<std::pair<Dim, DType>, int> counts;
  for (const auto& item : conversion.items()) {
    const bool other = type && IsQuantized(*type) && item.role == Role::kMatrix &&
                       item.shape[-1] % Traits(*type).values_per_block != 0;
    if (other) ++counts[{item.shape[-1], item.to}];
  }
  std::vector<std::string> notes;
  const LoadedModel& model = conversion.model();
  if (!model.vocabulary.empty() && format != FileFormat::kGguf && !IsOfBytes(model)) {
    notes.push_back(fmt::format("the vocabulary stays behind: a {} has no place for it", NameOf(format)));
  }
  for (const auto& [key, count] : counts) {
    notes.push_back(fmt::format("{} matri{} with rows of {} became {}: {} has blocks of {}", count,
                                count == 1 ? "x" : "ces", key.first, Traits(key.second).name,
                                Traits(*type).name, Traits(*type).values_per_block));
  }
  return notes;
}

std::string TypesOf(const Conversion& conversion) {
  std::map<DType, int> counts;
  for (const auto& item : conversion.items()) ++counts[item.to];
  std::string text;
  for (const auto& [type, count] : counts) {
    text += fmt::format("{}{} x {}", text.empty() ? "" : ", ", Traits(type).name, count);
  }
  return text;
}

Divergence Verified(const ConvertOptions& options, const LoadedModel& source,
                    const std::vector<int>& tokens) {
  Progress progress("comparing");
  return CompareModels(source, LoadModel(options.target), tokens,
                       [&](int64_t done) { progress.Update(done, static_cast<int64_t>(tokens.size()) - 1); });
}

std::string Megabytes(uint64_t bytes) { return fmt::format("{:.2f} MB", static_cast<double>(bytes) / 1e6); }

void PrintResult(const Json& result, const std::optional<Divergence>& divergence) {
  const auto before = result["source_bytes"].get<uint64_t>(), after = result["file_bytes"].get<uint64_t>();
  fmt::print("{}: {}, {} ({:.1f}% of {})\n", result["file"].get<std::string>(),
             result["dtypes"].get<std::string>(), Megabytes(after),
             100 * static_cast<double>(after) / static_cast<double>(before), Megabytes(before));
  for (const auto& note : result["notes"]) fmt::print("note: {}\n", note.get<std::string>());
  if (!divergence) return;
  fmt::print("compared on {} tokens: mean KL divergence {:.3g}, largest {:.3g}\n",
             WithCommas(divergence->tokens), divergence->mean_kl, divergence->largest_kl);
  fmt::print("perplexity {:.5f} -> {:.5f} ({:+.3f}%), same likeliest token {:.2f}%\n",
             divergence->model_perplexity, divergence->copy_perplexity, divergence->change_percent(),
             100 * divergence->same_top);
}

Json AsJson(const Divergence& divergence) {
  return {{"tokens", divergence.tokens},
          {"mean_kl", divergence.mean_kl},
          {"largest_kl", divergence.largest_kl},
          {"source_perplexity", divergence.model_perplexity},
          {"perplexity", divergence.copy_perplexity},
          {"perplexity_change_percent", divergence.change_percent()},
          {"same_top", divergence.same_top}};
}

void RunConvert(const ConvertOptions& options) {
  if (options.threads > 0) SetThreads(options.threads);
  const FileFormat format = FormatAskedFor(options);
  CheckTarget(options);
  const auto type = TypeAskedFor(options.dtype);
  const Conversion conversion(options.source, format, type);
  const auto vocabulary = format == FileFormat::kGguf
                              ? VocabularyToWrite(conversion.model(), options.source, options.tokenizer)
                              : std::vector<std::string>();
  const auto tokens = options.verify.empty() ? std::vector<int>() : VerifyTokens(options, conversion.model());
  {
    Progress progress("converting", "tensors");
    const auto total = static_cast<int64_t>(conversion.items().size());
    conversion.Write(options.target, vocabulary,
                     [&](size_t i) { progress.Update(static_cast<int64_t>(i), total); });
  }
  Json result = {{"source", options.source},
                 {"source_bytes", Checkpoint::Open(options.source)->file_bytes()},
                 {"file", options.target},
                 {"format", NameOf(format)},
                 {"file_bytes", fs::file_size(options.target)},
                 {"tensors", conversion.items().size()},
                 {"dtypes", TypesOf(conversion)},
                 {"notes", Notes(conversion, format, type)}};
  std::optional<Divergence> divergence;
  if (!tokens.empty()) divergence = Verified(options, conversion.model(), tokens);
  if (divergence) result["verify"] = AsJson(*divergence);
  if (options.json) {
    fmt::print("{}\n", result.dump(-1, ' ', false, Json::error_handler_t::replace));
  } else {
    PrintResult(result, divergence);
  }
}

}  // namespace

void AddConvert(CLI::App& app) {
  auto options = std::make_shared<ConvertOptions>();
  CLI::App* command = app.add_subcommand("convert", "Write a model in another format or type of numbers");
  command
      ->add_option("source", options->source,
                   "The model: .safetensors, .pth, .gguf, .bin of rwkv.cpp, or a folder")
      ->required()
      ->type_name("IN");
  command->add_option("target", options->target, "The file to write: .safetensors, .gguf or .pth")
      ->required()
      ->type_name("OUT");
  AddDtypeOption(command, options->dtype, "The type of matrices; stored leaves them as they are");
  command->add_option("--format", options->format, "The format, if the name of OUT does not say it")
      ->check(CLI::IsMember({"safetensors", "gguf", "pth"}));
  command
      ->add_option("--verify", options->verify, "Run both models over this text and say how far they differ")
      ->type_name("FILE");
  command->add_option("--verify-tokens", options->verify_tokens, "How many tokens of it")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40))
      ->capture_default_str();
  command
      ->add_option(
          "--tokenizer,--vocab", options->tokenizer,
          "bytes, world, 20B, or a vocabulary file; if not given, the one in or near the model's file")
      ->type_name("FILE");
  command->add_option("--threads", options->threads, "Threads; one a physical core if not given")
      ->check(CLI::Range(1, 4096));
  command->add_flag("--force", options->force, "Replace OUT if it exists");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer("Example: linnet convert model.pth model.gguf --dtype q4_k --verify text.txt");
  command->callback([options] { RunConvert(*options); });
}

}  // namespace linnet

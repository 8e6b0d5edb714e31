// linnet info: what a model file holds, as a screen for people or, with --json, as one flat object:
//   file, format, file_bytes, tensors, dtypes ("f32 x 12, bf16 x 40"), parameters: always there;
//   architecture, title, state_bytes (of a sequence), weight_bytes (in memory), token_bytes (read and written
//   to generate a token), read_gb_per_s (of this machine's memory, measured), limit_tokens_per_s (if reading
//   were all that takes time), the sizes (layers, width, ...) and, if known, tokenizer: if this version runs
//   the model;
//   the file's metadata: under their own names where those are free, JSON objects flattened to names such as
//   "training.lr".
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/commands.h"
#include "cli/model_options.h"
#include "cli/terminal.h"
#include "infer/benchmark.h"
#include "infer/machine.h"
#include "nn/model.h"

namespace linnet {
namespace {

using Json = nlohmann::ordered_json;

struct InfoOptions {
  std::string path;
  bool json = false, tensors = false;
};

std::string Bytes(uint64_t bytes) {
  const char* const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(units)) value /= 1024, ++unit;
  return unit == 0 ? fmt::format("{} bytes", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

/// Two significant digits: 12345 -> "12,000", 3.21 -> "3.2"
std::string Rounded(double number) {
  if (number < 10) return fmt::format("{:.2g}", number);
  const double unit = std::pow(10, std::floor(std::log10(number)) - 1);
  return WithCommas(std::llround(std::round(number / unit) * unit));
}

std::string DTypes(const Checkpoint& checkpoint) {
  std::map<DType, int64_t> counts;
  for (const auto& entry : checkpoint.entries()) ++counts[entry.dtype];
  std::string text;
  for (const auto& [type, count] : counts) {
    text += fmt::format("{}{} x {}", text.empty() ? "" : ", ", Traits(type).name, count);
  }
  return text;
}

std::string Text(const Json& value) {
  return Printable(value.is_string() ? value.get<std::string>() : value.dump());
}

/// The model in the file, if this version runs it. Loading it proves that it is whole.
std::optional<LoadedModel> TryLoad(const Checkpoint& checkpoint) {
  const auto matches = [&](const Architecture& architecture) { return architecture.matches(checkpoint); };
  if (std::ranges::none_of(Architectures(), matches)) return std::nullopt;
  return LoadModel(checkpoint.path());
}

/// Metadata are strings; those that hold a JSON object come apart into its members, others stay as they are.
void AddMetadata(const std::map<std::string, std::string>& metadata, Json& info) {
  const auto add = [&](const std::string& key, const Json& value) {
    if (!info.contains(key)) info[key] = value;
  };
  for (const auto& [key, text] : metadata) {
    const Json value = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!value.is_object()) {
      add(key, value.is_number() || value.is_null() ? value : Json(text));
      continue;
    }
    for (const auto& [name, member] : value.items()) add(key + "." + name, member);
  }
}

/// What generation costs: a token reads every weight but the embedding, of which it reads a row, and reads
/// and writes the state.
void AddCosts(const LoadedModel& model, Json& info) {
  constexpr size_t kBeyondCaches = size_t{256} << 20;
  const size_t state_bytes = model.NewState(1).slot_bytes();
  size_t weight_bytes = 0;
  for (const Parameter& parameter : model.params->parameters()) weight_bytes += parameter.tensor.bytes();
  const double token_bytes = WeightBytesPerToken(model) + 2 * static_cast<double>(state_bytes);
  const double bytes_per_s = ReadBandwidth(kBeyondCaches, /*rounds=*/3);
  info["state_bytes"] = state_bytes;
  info["weight_bytes"] = weight_bytes;
  info["token_bytes"] = std::llround(token_bytes);
  info["read_gb_per_s"] = bytes_per_s * 1e-9;
  info["limit_tokens_per_s"] = bytes_per_s / token_bytes;
}

void AddModel(const LoadedModel& model, Json& info) {
  info["architecture"] = model.architecture->name;
  info["title"] = model.architecture->title;
  info["parameters"] = model.params->count();
  for (const auto& [name, size] : model.sizes) info[name] = size;
  AddCosts(model, info);
  if (model.metadata.contains("tokenizer")) return;
  try {
    info["tokenizer"] = OpenTokenizer(model, info["file"])->name();
  } catch (const Error&) {  // then there is none to name
  }
}

Json Describe(const Checkpoint& checkpoint, const std::optional<LoadedModel>& model) {
  Dim values = 0;
  for (const auto& entry : checkpoint.entries()) values += entry.shape.size();
  Json info = {{"file", checkpoint.path().string()},
               {"format", checkpoint.format()},
               {"file_bytes", checkpoint.file_bytes()},
               {"tensors", checkpoint.entries().size()},
               {"dtypes", DTypes(checkpoint)},
               {"parameters", values}};
  auto metadata = checkpoint.metadata();
  if (model) {
    AddModel(*model, info);
    metadata.erase("sizes");  // the tensors' shapes have said so
  }
  AddMetadata(metadata, info);
  return info;
}

/// The screen's lines, each a label and a text.
using Lines = std::vector<std::pair<std::string, std::string>>;

/// Sizes in the order in which people ask for them; those particular to an architecture follow.
std::string SizesText(const Sizes& sizes) {
  std::vector<std::string> names = {"layers", "width", "head_size", "ffn", "vocab"};
  for (const auto& [name, size] : sizes) {
    if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  }
  std::string text;
  for (const std::string& name : names) {
    const auto size = sizes.find(name);
    if (size != sizes.end()) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, size->second);
  }
  return text;
}

void AddModelLines(const LoadedModel& model, Json& info, Lines& lines) {
  lines.push_back({"sizes", SizesText(model.sizes)});
  const auto bytes = [&](const char* name) { return Bytes(info[name].get<uint64_t>()); };
  lines.push_back({"memory", bytes("weight_bytes") + " for the weights"});
  lines.push_back({"state", bytes("state_bytes") + " a sequence, however long it is"});
  lines.push_back({"speed", fmt::format("at most {} tokens/s from memory: {} a token at {:.1f} GB/s",
                                        Rounded(info["limit_tokens_per_s"].get<double>()),
                                        bytes("token_bytes"), info["read_gb_per_s"].get<double>())});
  for (const auto& [name, size] : model.sizes) info.erase(name);
  info.erase("architecture");
}

void PrintScreen(Json info, const std::optional<LoadedModel>& model) {
  Lines lines = {
      {"file", Text(info["file"])},
      {"format", fmt::format("{}, {}", Text(info["format"]), Bytes(info["file_bytes"].get<uint64_t>()))},
      {"architecture", model ? fmt::format("{} ({})", model->architecture->title, model->architecture->name)
                             : "none that this version runs"},
      {"parameters", WithCommas(info["parameters"].get<int64_t>())},
      {"tensors", fmt::format("{} ({})", info["tensors"].get<size_t>(), Text(info["dtypes"]))}};
  if (model) AddModelLines(*model, info, lines);
  for (const char* shown :
       {"file", "format", "file_bytes", "title", "parameters", "tensors", "dtypes", "state_bytes",
        "weight_bytes", "token_bytes", "read_gb_per_s", "limit_tokens_per_s"}) {
    info.erase(shown);
  }
  for (const auto& [key, value] : info.items()) lines.push_back({Printable(key), Text(value)});
  PrintLabelled(lines);
}

void PrintTensors(const Checkpoint& checkpoint) {
  size_t width = 0;
  for (const auto& entry : checkpoint.entries()) width = std::max(width, entry.name.size());
  fmt::print("\n");
  for (const auto& entry : checkpoint.entries()) {
    fmt::print("{:<{}}  {:<5} {}\n", Printable(entry.name), width, Traits(entry.dtype).name, entry.shape);
  }
}

void RunInfo(const InfoOptions& options) {
  const auto checkpoint = Checkpoint::Open(options.path);
  const auto model = TryLoad(*checkpoint);
  const Json info = Describe(*checkpoint, model);
  if (options.json) {
    fmt::print("{}\n", info.dump(-1, ' ', false, Json::error_handler_t::replace));
    return;
  }
  PrintScreen(info, model);
  if (options.tensors) PrintTensors(*checkpoint);
}

}  // namespace

void AddInfo(CLI::App& app) {
  auto options = std::make_shared<InfoOptions>();
  CLI::App* command = app.add_subcommand("info", "Say what a model file holds");
  command->add_option("model", options->path, "The model: .safetensors, .pth, .gguf, .bin of rwkv.cpp, or a folder")
      ->required()
      ->type_name("FILE");
  CLI::Option* json = command->add_flag("--json", options->json, "Print one flat JSON object");
  command->add_flag("--tensors", options->tensors, "List the tensors, too")->excludes(json);
  command->footer("Example: linnet info model.safetensors");
  command->callback([options] { RunInfo(*options); });
}

}  // namespace linnet

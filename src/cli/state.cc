// linnet state: what a state file holds (info), several of them mixed into one (merge), and how far two lie
// apart (diff). Works on the files alone, without their model. With --json:
//   info: {"file", "architecture", "sizes", "tokenizer", "weights", "tokens", "logits", "variables":
//         [{"name", "shape", "norm"}, ...]}; of a tuned state only file, tokens, logits, variables
//   diff: {"a", "b", "distance", "variables": [{"name", "distance", "cosine"}, ...]}
#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "nn/state_file.h"

namespace linnet {
namespace {

using Json = nlohmann::ordered_json;

struct StateOptions {
  std::vector<std::string> files;
  std::vector<double> weights;
  std::string out;
  bool json = false;
};

/// |x|^2, |y|^2, <x, y> and |x - y|^2, which add up over tensors.
struct Products {
  double xx = 0, yy = 0, xy = 0, dd = 0;

  void Add(const Tensor& x, const Tensor& y) {
    for (Dim i = 0; i < x.size(); ++i) {
      const double a = x.data()[i], b = y.data()[i];
      xx += a * a, yy += b * b, xy += a * b, dd += (a - b) * (a - b);
    }
  }
  /// Length of the difference over the larger length: 0 for equal ones, 1 if one of them is zero.
  double distance() const { return dd == 0 ? 0 : std::sqrt(dd / std::max(xx, yy)); }
  double cosine() const { return xx == 0 || yy == 0 ? 0 : xy / std::sqrt(xx * yy); }
};

struct Entry {
  std::string name;
  double number;
};

/// "blocks.3.att.wkv" -> {"3", "att.wkv"}; names that are not of a block go with layer "".
std::pair<std::string, std::string> SplitName(const std::string& name) {
  constexpr std::string_view kBlocks = "blocks.";
  const size_t dot = name.find('.', kBlocks.size());
  if (!name.starts_with(kBlocks) || dot == std::string::npos) return {"", name};
  return {name.substr(kBlocks.size(), dot - kBlocks.size()), name.substr(dot + 1)};
}

/// A row a layer, a column a variable.
void PrintTable(const std::vector<Entry>& entries) {
  std::vector<std::string> layers, columns;
  std::map<std::pair<std::string, std::string>, double> cells;
  const auto note = [](std::vector<std::string>& list, const std::string& item) {
    if (std::ranges::find(list, item) == list.end()) list.push_back(item);
  };
  for (const Entry& entry : entries) {
    const auto place = SplitName(entry.name);
    note(layers, place.first);
    note(columns, place.second);
    cells[place] = entry.number;
  }
  std::ranges::sort(layers, {}, [](const std::string& layer) { return std::pair(layer.size(), layer); });
  fmt::print("{:<6}", "layer");
  for (const std::string& column : columns) fmt::print("  {:>12}", Printable(column));
  fmt::print("\n");
  for (const std::string& layer : layers) {
    fmt::print("{:<6}", Printable(layer));
    for (const std::string& column : columns) {
      const auto cell = cells.find({layer, column});
      fmt::print("  {:>12}", cell == cells.end() ? "" : fmt::format("{:.5g}", cell->second));
    }
    fmt::print("\n");
  }
}

void PrintJson(const Json& object) {
  fmt::print("{}\n", object.dump(-1, ' ', false, Json::error_handler_t::replace));
}

double Length(const Tensor& x) {
  Products products;
  products.Add(x, x);
  return std::sqrt(products.xx);
}

void PrintInfoJson(const std::string& path, const StateFile& file) {
  Json object = {{"file", path}};
  if (!file.tuned()) {
    const Json sizes = Json::parse(file.sizes, nullptr, /*allow_exceptions=*/false);
    object["architecture"] = file.architecture;
    object["sizes"] = sizes.is_object() ? sizes : Json(file.sizes);
    object["tokenizer"] = file.tokenizer;
    object["weights"] = file.weights;
  }
  object["tokens"] = file.tokens;
  object["logits"] = static_cast<bool>(file.logits);
  Json variables = Json::array();
  for (const auto& [name, tensor] : file.variables) {
    variables.push_back({{"name", name},
                         {"shape", std::vector<Dim>(tensor.shape().begin(), tensor.shape().end())},
                         {"norm", Length(tensor)}});
  }
  object["variables"] = variables;
  PrintJson(object);
}

void RunInfo(const StateOptions& options) {
  const StateFile file = ReadStateFile(options.files[0]);
  if (options.json) return PrintInfoJson(options.files[0], file);
  size_t bytes = 0;
  std::vector<Entry> norms;
  for (const auto& [name, tensor] : file.variables) {
    bytes += tensor.bytes();
    norms.push_back({name, Length(tensor)});
  }
  if (file.tuned()) {
    fmt::print("a tuned state: what a sequence starts from, without a token seen\n");
  } else {
    fmt::print("model      {} {}\n", Printable(file.architecture), Printable(file.sizes));
    fmt::print("weights    {}\n", file.weights.empty() ? "of several models" : Printable(file.weights));
    fmt::print("tokenizer  {}\n", Printable(file.tokenizer));
    fmt::print("tokens     {}\n", WithCommas(file.tokens));
    fmt::print("logits     {}\n", file.logits ? "known: needs no prompt to go on" : "not known");
  }
  fmt::print("bytes      {}\n\nLengths of the variables:\n", WithCommas(static_cast<int64_t>(bytes)));
  PrintTable(norms);
}

std::vector<StateFile> ReadAlike(const std::vector<std::string>& paths) {
  std::vector<StateFile> files;
  for (const std::string& path : paths) {
    files.push_back(ReadStateFile(path));
    CheckAlike(files[0], files.back(), paths[0], path);
  }
  return files;
}

void RunMerge(const StateOptions& options) {
  const std::vector<double> weights =
      options.weights.empty() ? std::vector<double>(options.files.size(), 1.0) : options.weights;
  Check(weights.size() == options.files.size(), "--weights has {} numbers for {} states", weights.size(),
        options.files.size());
  double total = 0;
  for (double weight : weights) total += weight;
  Check(std::isfinite(total) && std::abs(total) > 1e-9,
        "--weights must not add up to {}: each is divided by their sum", total);
  const std::vector<StateFile> files = ReadAlike(options.files);
  WriteStateFile(options.out, Average(files, weights));
}

void RunDiff(const StateOptions& options) {
  const std::vector<StateFile> files = ReadAlike(options.files);
  Products all;
  std::vector<Entry> distances;
  Json variables = Json::array();
  for (const auto& [name, tensor] : files[0].variables) {
    const Tensor& other = files[1].variables.at(name);
    Products products;
    products.Add(tensor, other);
    all.Add(tensor, other);
    distances.push_back({name, products.distance()});
    variables.push_back({{"name", name}, {"distance", products.distance()}, {"cosine", products.cosine()}});
  }
  if (options.json) {
    PrintJson({{"a", options.files[0]},
               {"b", options.files[1]},
               {"distance", all.distance()},
               {"variables", variables}});
    return;
  }
  fmt::print("distance  {:.5g} of the longer one; by layer and variable:\n\n", all.distance());
  PrintTable(distances);
}

using Run = void (*)(const StateOptions&);

CLI::App* AddPart(CLI::App& state, const char* name, const char* help, int files, Run run) {
  auto options = std::make_shared<StateOptions>();
  CLI::App* part = state.add_subcommand(name, help);
  auto* given = part->add_option("states", options->files, "State files, or tuned states (.pth)");
  given->required()->type_name("FILE");
  if (files > 0) {
    given->expected(files);
    part->add_flag("--json", options->json, "Print one JSON object");
  } else {
    part->add_option("--weights", options->weights,
                     "A number for each, separated by commas; divided by their sum. Equal if not given")
        ->delimiter(',')
        ->type_name("W,W,...");
    part->add_option("-o,--out", options->out, "The file to write")->required()->type_name("FILE");
  }
  part->callback([options, run] { run(*options); });
  return part;
}

}  // namespace

void AddState(CLI::App& app) {
  CLI::App* state = app.add_subcommand("state", "Look at states, mix them, compare them");
  state->require_subcommand(1);
  AddPart(*state, "info", "Say what a state file holds", 1, RunInfo)
      ->footer("Example: linnet state info chat.state");
  AddPart(*state, "merge", "Write the weighted average of several states", 0, RunMerge)
      ->alias("blend")
      ->footer("Example: linnet state merge poet.state sailor.state --weights 0.7,0.3 -o both.state");
  AddPart(*state, "diff", "Say how far two states lie apart", 2, RunDiff)
      ->footer("Example: linnet state diff before.state after.state");
  state->footer("Example: linnet state info chat.state");
}

}  // namespace linnet

// The folders of src/ are layers: a file includes its own folder and what stands below it
// (docs/architecture.md).
//
//     cli                            heavy headers stay where they are needed: CLI11 in cli/, oneDNN and
//     Highway in serve   lab                    kernels/cpu/, JSON in .cc files train   infer models included
//     by nothing outside of itself: it is reached through nn/model.h nn ops     formats     text formats
//     needs only tensor, text only base kernels tensor base
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <set>

#include "laws/source_files.h"

namespace linnet::laws {
namespace {

using Folders = std::set<std::string>;

/// The folders that each folder may include, beside itself.
const std::map<std::string, Folders>& Allowed() {
  static const std::map<std::string, Folders> allowed = [] {
    std::map<std::string, Folders> a;
    const auto with = [](Folders folders, const Folders& more) {
      folders.insert(more.begin(), more.end());
      return folders;
    };
    a["base"] = {};
    a["tensor"] = {"base"};
    a["kernels"] = {"tensor", "base"};
    a["ops"] = {"kernels", "tensor", "base"};
    a["formats"] = {"tensor", "base"};
    a["text"] = {"base"};
    a["nn"] = {"ops", "formats", "text", "kernels", "tensor", "base"};
    a["models"] = a["train"] = a["infer"] = with(a["nn"], {"nn"});
    a["serve"] = a["lab"] = with(a["nn"], {"nn", "train", "infer"});
    a["cli"] = with(a["serve"], {"serve", "lab"});
    return a;
  }();
  return allowed;
}

/// What an #include line names, with its kind of quotes kept: `"nn/model.h` or `<vector`.
std::optional<std::string> Included(const std::string& line) {
  size_t at = line.find_first_not_of(" \t");
  if (at == std::string::npos || line[at] != '#') return std::nullopt;
  at = line.find_first_not_of(" \t", at + 1);
  if (at == std::string::npos || line.compare(at, 7, "include") != 0) return std::nullopt;
  const size_t first = line.find_first_of("\"<", at + 7);
  if (first == std::string::npos) return std::nullopt;  // of a macro, as Highway's foreach_target wants
  return line.substr(first, line.find_first_of("\">", first + 1) - first);
}

std::string FolderOf(const std::string& path) { return path.substr(0, path.find('/')); }

/// Why `path` (below src/) must not include a library's header, or "".
std::string LibraryRefusal(const std::string& path, const std::string& header) {
  static const std::pair<const char*, const char*> homes[] = {{"CLI/", "cli/"},
                                                              {"dnnl", "kernels/cpu/"},
                                                              {"oneapi/", "kernels/cpu/"},
                                                              {"hwy/", "kernels/cpu/"},
                                                              {"boost/", "serve/server"}};
  for (const auto& [prefix, home] : homes) {
    if (header.starts_with(prefix) && !path.starts_with(home)) return std::string(" belongs in ") + home;
  }
  if (header.starts_with("nlohmann/") && header != "nlohmann/json_fwd.hpp" && !path.ends_with(".cc"))
    return " is too heavy for a header";
  return "";
}

/// Why `path` (below src/) must not hold this line, or "".
std::string Refusal(const std::string& path, const std::string& line) {
  const auto included = Included(line);
  if (!included) return "";
  const std::string header = included->substr(1), own = FolderOf(path), other = FolderOf(header);
  if (Allowed().contains(other)) {
    if (other == own || Allowed().at(own).contains(other)) return "";
    return header + ": " + own + "/ must not include " + other + "/";
  }
  const std::string refusal = LibraryRefusal(path, header);
  if (!refusal.empty()) return header + refusal;
  // Highway asks for quotes; whatever else is in quotes would be found through the folder of the includer.
  if (included->front() == '"' && other != "hwy") return header + ": name headers from src/ on";
  return "";
}

/// All lines of a file that break the order of the layers.
std::vector<std::string> LayerErrors(const SourceFile& file) {
  const std::string path = file.path.substr(std::string("src/").size());
  if (!Allowed().contains(FolderOf(path))) return {file.path + ": is in no layer"};
  std::vector<std::string> errors;
  const std::vector<std::string> lines = Lines(file.text);
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string refusal = Refusal(path, lines[i]);
    if (!refusal.empty()) errors.push_back(file.path + ":" + std::to_string(i + 1) + ": " + refusal);
  }
  return errors;
}

TEST(LayersTest, IncludesPointDown) {
  const std::vector<SourceFile> files = SourceFiles({"src"});
  ASSERT_GT(files.size(), 50u);
  for (const SourceFile& file : files) {
    for (const std::string& error : LayerErrors(file)) ADD_FAILURE() << error;
  }
}

TEST(LayersTest, QuotedHeadersExist) {
  const std::filesystem::path root = LINNET_SOURCE_DIR;
  for (const SourceFile& file : SourceFiles({"src"})) {
    for (const std::string& line : Lines(file.text)) {
      const auto included = Included(line);
      if (!included || !Allowed().contains(FolderOf(included->substr(1)))) continue;
      EXPECT_TRUE(std::filesystem::exists(root / "src" / included->substr(1))) << file.path << ": " << line;
    }
  }
}

struct Case {
  const char *path, *line;
  bool allowed;
};

/// The check itself: a law that cannot be broken is none.
TEST(LayersTest, TheCheckRefusesWhatItMust) {
  const Case cases[] = {
      {"src/nn/model.cc", "#include \"nn/model.h\"", true},
      {"src/nn/model.cc", "#include \"formats/checkpoint.h\"", true},
      {"src/nn/model.cc", "#include <vector>", true},
      {"src/nn/model.cc", "// #include \"cli/commands.h\"", true},
      {"src/nn/model.cc", "#include \"train/trainer.h\"", false},
      {"src/nn/model.cc", "  #  include <train/trainer.h>", false},
      {"src/nn/model.cc", "#include \"models/rwkv7.h\"", false},
      {"src/cli/main.cc", "#include \"models/rwkv7.h\"", false},
      {"src/models/registry.cc", "#include \"models/rwkv7.h\"", true},
      {"src/formats/pth.cc", "#include \"ops/ops.h\"", false},
      {"src/formats/pth.cc", "#include \"text/bytes.h\"", false},
      {"src/text/bytes.cc", "#include \"tensor/tensor.h\"", false},
      {"src/train/trainer.cc", "#include \"infer/sampler.h\"", false},
      {"src/base/file.cc", "#include \"file.h\"", false},
      {"src/base/file.cc", "#include \"../tensor/tensor.h\"", false},
      {"src/ops/rows.cc", "#include \"hwy/highway.h\"", false},
      {"src/kernels/cpu/norm.cc", "#include \"hwy/highway.h\"", true},
      {"src/kernels/cpu/norm.cc", "#include HWY_TARGET_INCLUDE", true},
      {"src/nn/model.cc", "#include <dnnl.hpp>", false},
      {"src/train/trainer.cc", "#include <CLI/CLI.hpp>", false},
      {"src/train/log.h", "#include <nlohmann/json.hpp>", false},
      {"src/train/log.cc", "#include <nlohmann/json.hpp>", true},
      {"src/serve/json.h", "#include <nlohmann/json_fwd.hpp>", true},
      {"src/serve/server.cc", "#include <boost/asio.hpp>", true},
      {"src/serve/openai.cc", "#include <boost/asio.hpp>", false},
      {"src/util/helpers.cc", "", false},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(LayerErrors({c.path, std::string("\n") + c.line + "\n"}).empty(), c.allowed)
        << c.path << ": " << c.line;
  }
}

}  // namespace
}  // namespace linnet::laws

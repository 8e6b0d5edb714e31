// The project's own files, for the laws that read them.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace linnet::laws {

struct SourceFile {
  std::string path;  // from the root of the project: "src/nn/model.h"
  std::string text;
};

inline std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

/// All text files below the given folders of the project, sorted by path. Folders that do not exist are
/// passed over; so are the seeds of the fuzzers, which are bytes.
inline std::vector<SourceFile> SourceFiles(std::initializer_list<std::string_view> folders) {
  namespace fs = std::filesystem;
  const fs::path root = LINNET_SOURCE_DIR;
  std::vector<SourceFile> files;
  for (const std::string_view folder : folders) {
    if (!fs::is_directory(root / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      const std::string path = fs::relative(entry.path(), root).generic_string();
      if (!entry.is_regular_file() || path.starts_with("tests/fuzz/corpus/")) continue;
      if (path.find("node_modules/") != std::string::npos) continue;
      std::ostringstream text;
      text << std::ifstream(entry.path(), std::ios::binary).rdbuf();
      files.push_back({path, text.str()});
    }
  }
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return files;
}

}  // namespace linnet::laws

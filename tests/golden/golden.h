// Golden data: numbers that the reference implementations printed. The folder is named by LINNET_GOLDEN
// (default: shared/golden beside the project); tests skip, saying so, where it is absent, and discover every
// case that is in it.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "formats/checkpoint.h"

namespace linnet::golden {

inline std::filesystem::path Folder() {
  const char* named = std::getenv("LINNET_GOLDEN");
  return named != nullptr ? named : std::filesystem::path(LINNET_SOURCE_DIR) / ".." / "shared" / "golden";
}

/// The subfolders of `part` ("A_inference"), sorted; empty if the golden data are not there.
inline std::vector<std::filesystem::path> Cases(const std::string& part) {
  std::vector<std::filesystem::path> cases;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(Folder() / part, error)) {
    if (entry.is_directory()) cases.push_back(entry.path());
  }
  std::sort(cases.begin(), cases.end());
  return cases;
}

/// The weight files of a case, NAME.TAG.EXTENSION as in its folder NAME, each with its tag ("fp32", "bf16").
inline std::vector<std::pair<std::filesystem::path, std::string>> WeightFiles(
    const std::filesystem::path& folder) {
  std::vector<std::pair<std::filesystem::path, std::string>> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    for (const std::string tag : {"fp32", "bf16"}) {
      const std::string stem = folder.filename().string() + "." + tag;
      if (entry.path().stem() == stem) files.push_back({entry.path(), tag});
    }
  }
  return files;
}

/// Whether this program runs models of a version as info.json names it.
inline bool Runs(const std::string& version) {
  static const std::set<std::string> versions = {"4", "5.0", "5.1", "5.2", "6", "7", "7a", "7b"};
  return versions.contains(version);
}

/// Any tensor of numbers as doubles.
inline std::vector<double> Values(const Checkpoint& file, const std::string& name) {
  const Tensor t = file.Load(name);
  std::vector<double> values(t.size());
  for (Dim i = 0; i < t.size(); ++i) {
    switch (t.dtype()) {
      case DType::kF64:
        values[i] = t.data<double>()[i];
        break;
      case DType::kF32:
        values[i] = t.data()[i];
        break;
      case DType::kI32:
        values[i] = t.data<int32_t>()[i];
        break;
      default:
        ADD_FAILURE() << name << " has an unexpected type";
    }
  }
  return values;
}

inline double StandardDeviation(const std::vector<double>& values) {
  double mean = 0, variance = 0;
  for (double v : values) mean += v / static_cast<double>(values.size());
  for (double v : values) variance += (v - mean) * (v - mean) / static_cast<double>(values.size());
  return std::sqrt(variance);
}

/// Largest |a - b|.
inline double LargestDifference(const Tensor& a, const std::vector<double>& b) {
  EXPECT_EQ(a.size(), static_cast<Dim>(b.size()));
  double largest = 0;
  for (Dim i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a.data()[i] - b[i]));
  return largest;
}

}  // namespace linnet::golden

#define LINNET_SKIP_WITHOUT_GOLDEN()                                                            \
  if (!std::filesystem::is_directory(linnet::golden::Folder())) {                               \
    GTEST_SKIP() << "no golden data in " << linnet::golden::Folder() << " (set LINNET_GOLDEN)"; \
  }

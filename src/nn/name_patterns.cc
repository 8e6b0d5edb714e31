#include "nn/name_patterns.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "base/check.h"

namespace linnet {
namespace {

constexpr std::string_view kBlocks = "blocks.", kWeight = ".weight";
constexpr size_t kNearNames = 5;

bool Globs(std::string_view pattern, std::string_view name) {
  // After a mismatch the last '*' takes one character more; earlier ones need never be tried again.
  size_t p = 0, n = 0, star = std::string_view::npos, taken = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      taken = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p, ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++taken;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

/// "blocks.3.att.key.weight" -> "att.key.weight"
std::string_view WithoutBlock(std::string_view name) {
  if (!name.starts_with(kBlocks)) return name;
  const size_t dot = name.find('.', kBlocks.size());
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

std::string_view WithoutWeight(std::string_view name) {
  return name.ends_with(kWeight) ? name.substr(0, name.size() - kWeight.size()) : name;
}

/// Levenshtein's: how many characters have to be put in, left out or replaced.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

bool Matches(std::string_view pattern, std::string_view name) {
  return Globs(pattern, name) || Globs(pattern, WithoutWeight(name)) || Globs(pattern, WithoutBlock(name)) ||
         Globs(pattern, WithoutWeight(WithoutBlock(name)));
}

std::string NearNames(const std::string& pattern, const std::vector<std::string>& names) {
  const std::string_view meant = pattern.starts_with(kBlocks) ? WithoutBlock(pattern) : pattern;
  std::set<std::pair<size_t, std::string>> ranked;
  for (const std::string& name : names) {
    const std::string bare(WithoutWeight(WithoutBlock(name)));
    ranked.insert({EditDistance(meant, bare), bare});
  }
  std::string text;
  size_t count = 0;
  for (const auto& [distance, name] : ranked) {
    if (count++ == kNearNames) break;
    text += (text.empty() ? "" : ", ") + name;
  }
  return text;
}

}  // namespace

NamePatterns::NamePatterns(std::string flag, std::string_view text) : flag_(std::move(flag)) {
  while (true) {
    const size_t comma = text.find(',');
    patterns_.emplace_back(text.substr(0, comma));
    Check(!patterns_.back().empty(), "{}: a pattern is empty; give patterns such as 'att.*,ffn.key'", flag_);
    if (comma == std::string_view::npos) return;
    text.remove_prefix(comma + 1);
  }
}

bool NamePatterns::Match(std::string_view name) const {
  return std::ranges::any_of(patterns_, [&](const std::string& p) { return Matches(p, name); });
}

void NamePatterns::CheckAllMatch(const std::vector<std::string>& names) const {
  for (const std::string& pattern : patterns_) {
    Check(std::ranges::any_of(names, [&](const std::string& name) { return Matches(pattern, name); }),
          "{}: '{}' matches none of the {} names that it can choose from; near it are: {}", flag_, pattern,
          names.size(), NearNames(pattern, names));
  }
}

}  // namespace linnet

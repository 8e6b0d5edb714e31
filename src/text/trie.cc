#include "text/trie.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace linnet {
namespace {

constexpr int kBytes = 256;
constexpr int32_t kNobody = std::numeric_limits<int32_t>::max();  // the parent of the root: its slot is taken

/// The strings order[begin, end) share their first `depth` bytes, which lead to `node`.
struct Range {
  int32_t node;
  size_t begin, end, depth;
};

}  // namespace

int32_t Trie::FindBase(const std::vector<unsigned char>& bytes) {
  // Free slots that the search passes again and again are given up, as long as they stay few: the array never
  // has many more slots than nodes, whatever the strings are.
  int32_t tried = 0;
  for (int32_t slot = first_free_;; ++slot, ++tried) {
    if (slots_.size() < static_cast<size_t>(slot) + 2 * kBytes) slots_.resize(slots_.size() + 4 * kBytes);
    const int32_t base = slot - bytes.front();
    if (base < 0 || slots_[slot].parent >= 0) continue;
    const bool fits =
        std::all_of(bytes.begin(), bytes.end(), [&](int byte) { return slots_[base + byte].parent < 0; });
    if (!fits) continue;
    if (tried > 2 * kBytes && slots_.size() < 8 * nodes_) first_free_ = slot;
    return base;
  }
}

Trie::Trie(const std::vector<std::string>& strings) : slots_(4 * kBytes) {
  slots_[0].parent = kNobody;
  std::vector<size_t> order(strings.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::erase_if(order, [&](size_t i) { return strings[i].empty(); });
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return strings[a] < strings[b]; });
  std::vector<Range> ranges{{0, 0, order.size(), 0}};
  std::vector<Range> children;
  std::vector<unsigned char> bytes;
  while (!ranges.empty()) {
    const Range range = ranges.back();
    ranges.pop_back();
    size_t at = range.begin;
    // Sorted, the string that ends here comes before those that go on.
    if (range.depth > 0 && strings[order[at]].size() == range.depth) {
      slots_[range.node].value = static_cast<int32_t>(order[at]);
      while (at < range.end && strings[order[at]].size() == range.depth) ++at;
    }
    children.clear(), bytes.clear();
    while (at < range.end) {
      const auto byte = static_cast<unsigned char>(strings[order[at]][range.depth]);
      const size_t begin = at;
      while (at < range.end && static_cast<unsigned char>(strings[order[at]][range.depth]) == byte) ++at;
      children.push_back({0, begin, at, range.depth + 1});
      bytes.push_back(byte);
    }
    if (bytes.empty()) continue;
    const int32_t base = FindBase(bytes);
    slots_[range.node].base = base;
    nodes_ += bytes.size();
    for (size_t i = 0; i < bytes.size(); ++i) {
      children[i].node = base + bytes[i];
      slots_[children[i].node].parent = range.node;
      ranges.push_back(children[i]);
    }
  }
}

}  // namespace linnet

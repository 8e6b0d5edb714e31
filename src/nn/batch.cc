#include "nn/batch.h"

#include <algorithm>

namespace linnet {

void Batch::Append(const std::vector<int>& ids, int state_slot) {
  Check(!ids.empty(), "[batch] a sequence needs at least one token");
  tokens.insert(tokens.end(), ids.begin(), ids.end());
  start.push_back(static_cast<int>(tokens.size()));
  slot.push_back(state_slot);
}

void Batch::Validate(int slots) const {
  Check(!slot.empty() && start.size() == slot.size() + 1 && start.front() == 0 &&
            start.back() == static_cast<int>(tokens.size()),
        "[batch] the sequences do not cover the {} tokens", tokens.size());
  for (int s = 0; s < sequences(); ++s) Check(length(s) > 0, "[batch] sequence {} is empty", s);
  if (slot.size() == 1) {
    Check(slot[0] >= 0 && slot[0] < slots, "[batch] there is no state slot {} among {}", slot[0], slots);
    return;
  }
  std::vector<char> taken(slots, 0);
  for (int s : slot) {
    Check(s >= 0 && s < slots, "[batch] there is no state slot {} among {}", s, slots);
    Check(!taken[s], "[batch] two sequences share the state slot {}", s);
    taken[s] = 1;
  }
}

}  // namespace linnet

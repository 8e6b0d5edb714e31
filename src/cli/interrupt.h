// Ctrl-C: the first one asks the work at hand to end in an orderly way, the second one ends the program.
#pragma once

#include <atomic>

namespace linnet {

/// From now on Ctrl-C sets this flag, which long work looks at. Whoever goes on after it clears it.
std::atomic<bool>& CatchInterrupts();

}  // namespace linnet

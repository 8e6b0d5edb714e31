#include "cli/interrupt.h"

#include <csignal>

namespace linnet {
namespace {

std::atomic<bool> interrupted = false;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler sets it");

void Handle(int) {
  if (!interrupted.exchange(true)) return;
  std::signal(SIGINT, SIG_DFL);
  std::raise(SIGINT);
}

}  // namespace

std::atomic<bool>& CatchInterrupts() {
  struct sigaction action {};
  action.sa_handler = Handle;
  sigaction(SIGINT, &action, nullptr);  // without SA_RESTART: whoever waits for input is woken, too
  return interrupted;
}

}  // namespace linnet

// Together: what a thread does for many of a kind is handed over once, at the end. While the engine has its
// texts go on, each of them has something for another connection; who sends it is woken once for all.
#pragma once

#include <functional>
#include <utility>
#include <vector>

namespace linnet {

/// Lives on the stack, around what calls Later().
class Together {
 public:
  Together() : outer_(std::exchange(current_, this)) {}
  /// Calls what was put off.
  ~Together() {
    current_ = outer_;
    for (const auto& [who, call] : calls_) call();
  }
  Together(const Together&) = delete;
  Together& operator=(const Together&) = delete;

  /// Has `call` called at the end of this thread's innermost Together, once for each `who`; at once if there
  /// is none.
  static void Later(const void* who, std::function<void()> call) {
    if (current_ == nullptr) return call();
    for (const auto& [known, waiting] : current_->calls_)
      if (known == who) return;
    current_->calls_.emplace_back(who, std::move(call));
  }

 private:
  static inline thread_local Together* current_ = nullptr;
  Together* outer_;
  std::vector<std::pair<const void*, std::function<void()>>> calls_;
};

}  // namespace linnet

// Breaks: places in a forward pass, between the branches of its blocks, at which the thread may see to
// something else. Models offer them; what becomes of it does not change their results.
#pragma once

#include <functional>
#include <utility>

namespace linnet {

/// While in scope, forward passes of this thread call `at_break` at each break.
class Breaks {
 public:
  explicit Breaks(std::function<void()> at_break) : at_break_(std::move(at_break)), outer_(in_force_) {
    in_force_ = this;
  }
  ~Breaks() { in_force_ = outer_; }
  Breaks(const Breaks&) = delete;
  Breaks& operator=(const Breaks&) = delete;

  /// Here is one.
  static void Offer() {
    if (in_force_ != nullptr) in_force_->at_break_();
  }

 private:
  static inline thread_local Breaks* in_force_ = nullptr;

  std::function<void()> at_break_;
  Breaks* outer_;
};

}  // namespace linnet

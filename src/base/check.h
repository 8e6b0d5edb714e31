// Errors: one exception type, thrown by Check and Fail, caught in main.
//
// A message names the operator or file in front, the rule, what was found and, where the mistake is the
// user's, what to do:   Check(n % h == 0, "[wkv7] the width {} is not a multiple of the head size {}", n, h);
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <utility>

namespace linnet {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Throws Error with the formatted message.
template <class... Args>
[[noreturn]] void Fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

/// Throws Error with the formatted message unless `ok`.
template <class... Args>
void Check(bool ok, fmt::format_string<Args...> format, Args&&... args) {
  if (!ok) [[unlikely]] {
    Fail(format, std::forward<Args>(args)...);
  }
}

}  // namespace linnet

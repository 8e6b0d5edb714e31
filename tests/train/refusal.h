// Checks that something is refused with a message that says what it must.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/check.h"

namespace linnet {

template <class Function>
testing::AssertionResult Refused(const Function& function, const std::vector<std::string>& parts) {
  try {
    function();
  } catch (const Error& error) {
    const std::string message = error.what();
    for (const std::string& part : parts) {
      if (message.find(part) == std::string::npos) {
        return testing::AssertionFailure() << "'" << message << "' does not say '" << part << "'";
      }
    }
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure() << "was not refused";
}

}  // namespace linnet

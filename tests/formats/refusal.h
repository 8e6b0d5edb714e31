// EXPECT_TRUE(Refuses(call, "part of the message", ...)): the call must throw Error with a message that has
// all of these parts.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "base/check.h"

namespace linnet {

template <class Call, class... Parts>
testing::AssertionResult Refuses(const Call& call, const Parts&... parts) {
  try {
    call();
  } catch (const Error& error) {
    const std::string message = error.what();
    for (std::string_view part : {std::string_view(parts)...}) {
      if (message.find(part) == std::string::npos) {
        return testing::AssertionFailure() << "refused with: " << message << "\nwithout: " << part;
      }
    }
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure() << "was accepted";
}

}  // namespace linnet

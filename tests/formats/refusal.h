// EXPECT_TRUE(Refuses(call, "part of the message")): the call must throw Error with a message that has that
// part.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "base/check.h"

namespace linnet {

template <class Call>
testing::AssertionResult Refuses(const Call& call, std::string_view part) {
  try {
    call();
  } catch (const Error& error) {
    if (std::string_view(error.what()).find(part) != std::string_view::npos)
      return testing::AssertionSuccess();
    return testing::AssertionFailure() << "refused with: " << error.what() << "\nwithout: " << part;
  }
  return testing::AssertionFailure() << "accepted; expected: " << part;
}

}  // namespace linnet

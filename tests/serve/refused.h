// EXPECT_TRUE(Refuses(400, "stop", [&] { ... })): the call must throw an HttpError of that status that names
// that field.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "serve/http.h"

namespace linnet {

template <class Call>
testing::AssertionResult Refuses(int status, const std::string& param, const Call& call) {
  try {
    call();
  } catch (const HttpError& error) {
    if (error.status == status && error.param == param) return testing::AssertionSuccess();
    return testing::AssertionFailure() << error.status << ", '" << error.param << "': " << error.what();
  }
  return testing::AssertionFailure() << "was not refused";
}

}  // namespace linnet

#include "nn/name_patterns.h"

#include <gtest/gtest.h>

#include "base/check.h"

namespace linnet {
namespace {

TEST(NamePatterns, MayLeaveOutBlockAndWeight) {
  const std::string name = "blocks.11.att.key.weight";
  for (const char* pattern : {"att.key", "att.*", "att.key.weight", "blocks.11.*", "blocks.11.att.key",
                              "*key", "*", "at?.key", "*.k*y*", "ffn.key,att.key"}) {
    EXPECT_TRUE(NamePatterns("--x", pattern).Match(name)) << pattern;
  }
  for (const char* pattern :
       {"key", "att", "att.ke", "blocks.1.*", "ffn.*", "att.key.", "?", "att.*.x", "blocks"}) {
    EXPECT_FALSE(NamePatterns("--x", pattern).Match(name)) << pattern;
  }
  EXPECT_TRUE(NamePatterns("--x", "emb").Match("emb.weight"));
  EXPECT_TRUE(NamePatterns("--x", "ln*").Match("blocks.0.ln1.bias"));
}

TEST(NamePatterns, WhatMatchesNothingIsAnErrorWithNamesThatAreNear) {
  const std::vector<std::string> names = {"emb.weight", "blocks.0.att.key.weight",
                                          "blocks.0.att.value.weight", "blocks.0.ffn.key.weight"};
  EXPECT_NO_THROW(NamePatterns("--train", "att.*,ffn.key").CheckAllMatch(names));
  try {
    NamePatterns("--train", "att.key,fnn.key").CheckAllMatch(names);
    FAIL() << "no error";
  } catch (const Error& error) {
    const std::string what = error.what();
    for (const char* part : {"--train", "'fnn.key'", "near it are: ffn.key, att.key"}) {
      EXPECT_NE(what.find(part), std::string::npos) << what;
    }
  }
  EXPECT_THROW(NamePatterns("--train", "att.key,"), Error);
  EXPECT_THROW(NamePatterns("--train", ""), Error);
}

}  // namespace
}  // namespace linnet

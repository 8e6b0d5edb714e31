#include "serve/together.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace linnet {
namespace {

TEST(Together, HandsOverOnceAtItsEnd) {
  std::string called;
  int a = 0, b = 0;
  const auto add = [&called](char c) { return [&called, c] { called += c; }; };
  Together::Later(&a, add('-'));
  EXPECT_EQ(called, "-");  // at once, outside of any
  {
    const Together together;
    Together::Later(&a, add('a'));
    Together::Later(&b, add('b'));
    Together::Later(&a, add('x'));
    std::thread([&] {
      Together::Later(&a, add('t'));
    }).join();  // another thread's is no business of this one
    EXPECT_EQ(called, "-t");
    {
      const Together inner;
      Together::Later(&b, add('i'));
    }
    EXPECT_EQ(called, "-ti");
  }
  EXPECT_EQ(called, "-tiab");
}

}  // namespace
}  // namespace linnet

#include "text/unicode.h"

#include <gtest/gtest.h>

#include <chrono>

namespace linnet {
namespace {

TEST(ClassOf, Characters) {
  for (char32_t c : {U'a', U'Z', U'é', U'ß', U'中', U'ª', U'ʰ', U'\U00010348'})
    EXPECT_EQ(ClassOf(c), CharacterClass::kLetter) << static_cast<uint32_t>(c);
  for (char32_t c : {U'0', U'9', U'²', U'½', U'Ⅷ', U'①', U'٣'})
    EXPECT_EQ(ClassOf(c), CharacterClass::kNumber) << static_cast<uint32_t>(c);
  // The 25 characters with the property White_Space.
  std::u32string spaces = U"\t\n\v\f\r \u0085\u00A0\u1680\u2028\u2029\u202F\u205F\u3000";
  for (char32_t c = 0x2000; c <= 0x200A; ++c) spaces += c;
  for (char32_t c = 0; c < 0x110000; ++c) {
    const bool expected = spaces.find(c) != std::u32string::npos;
    ASSERT_EQ(ClassOf(c) == CharacterClass::kSpace, expected) << static_cast<uint32_t>(c);
  }
  for (char32_t c : {U'_', U'\x1C', U'\u200B', U'\uFEFF', U'\u0301', U'😀', U'\uFFFD'})
    EXPECT_EQ(ClassOf(c), CharacterClass::kOther) << static_cast<uint32_t>(c);
}

TEST(Nfc, Composes) {
  EXPECT_EQ(Nfc("e\u0301 \u00E9"), "\u00E9 \u00E9");
  EXPECT_EQ(Nfc("\u212B"), "\u00C5");               // the sign for angstrom is the letter
  EXPECT_EQ(Nfc("\u1100\u1161\u11A8"), "\uAC01");   // Hangul
  EXPECT_EQ(Nfc("\u0958"), "\u0915\u093C");         // excluded from composition
  EXPECT_EQ(Nfc("a\u0301\u0323"), "\u1EA1\u0301");  // marks change places
  EXPECT_EQ(Nfc("\uFB01"), "\uFB01");               // a ligature is no canonical equivalent
  EXPECT_EQ(Nfc("\u0301e\n\u0301"), "\u0301e\n\u0301");
  EXPECT_EQ(Nfc(""), "");
}

TEST(Nfc, LeavesBytesThatAreNoText) {
  EXPECT_EQ(Nfc("e\xFF\u0301"), "e\xFF\u0301");  // nothing composes across them
  EXPECT_EQ(Nfc("\xC3"), "\xC3");
  EXPECT_EQ(Nfc("e\u0301\x80\xED\xA0\x80"), "\u00E9\x80\xED\xA0\x80");
}

// A million marks in the wrong order: quadratic sorting would take minutes.
TEST(Nfc, TakesLinearTime) {
  std::string marks = "a";
  for (int i = 0; i < 500'000; ++i) marks += "\u0301\u0323";
  const auto start = std::chrono::steady_clock::now();
  const std::string normal = Nfc(marks);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
  EXPECT_EQ(normal.substr(0, 5), "\u1EA1\u0323");
}

}  // namespace
}  // namespace linnet

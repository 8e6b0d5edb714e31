// What keeps the sources readable: files of at most 600 lines, functions of at most 80 (kernels 120), nothing
// put off with a note, no path that exists on one machine only.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cctype>

#include "laws/source_files.h"

namespace linnet::laws {
namespace {

constexpr size_t kMostLines = 600;

// Put together from halves, so that this file passes its own check.
const std::vector<std::string>& ForbiddenWords() {
  static const std::vector<std::string> words = {std::string("TO") + "DO",   std::string("FIX") + "ME",
                                                 std::string("XX") + "X",    std::string("/wo") + "rk/",
                                                 std::string("/ro") + "ot/", std::string("/ho") + "me/"};
  return words;
}

bool IsWordCharacter(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

/// Whether `text` has `word` as a word of its own or, if it begins with a slash, as the beginning of a path.
bool HasWord(const std::string& text, const std::string& word) {
  const bool path = word.front() == '/';
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    const char before = at > 0 ? text[at - 1] : ' ';
    const char after = at + word.size() < text.size() ? text[at + word.size()] : ' ';
    const bool begins = !IsWordCharacter(before) && !(path && (before == '.' || before == '}'));
    if (begins && (path || !IsWordCharacter(after))) return true;
  }
  return false;
}

std::vector<std::string> WordErrors(const SourceFile& file) {
  std::vector<std::string> errors;
  const std::vector<std::string> lines = Lines(file.text);
  for (size_t i = 0; i < lines.size(); ++i) {
    for (const std::string& word : ForbiddenWords()) {
      if (HasWord(lines[i], word)) errors.push_back(fmt::format("{}:{}: has {}", file.path, i + 1, word));
    }
  }
  return errors;
}

bool StartsWithOneOf(const std::string& line, std::initializer_list<const char*> words) {
  return std::any_of(words.begin(), words.end(), [&](const char* word) { return line.starts_with(word); });
}

/// Functions outside of classes that are longer than their folder allows. With the project's formatting such
/// a function begins in the first column, and its last brace is the next one there.
std::vector<std::string> FunctionErrors(const SourceFile& file) {
  const size_t most = file.path.starts_with("src/kernels/") ? 120 : 80;
  std::vector<std::string> errors;
  const std::vector<std::string> lines = Lines(file.text);
  size_t start = lines.size();
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string& line = lines[i];
    if (line.starts_with("}") && start < i) {
      const size_t length = i - start + 1;
      if (length > most)
        errors.push_back(fmt::format("{}:{}: a function of {} lines", file.path, start + 1, length));
      start = lines.size();
    } else if (!line.empty() && std::isalpha(static_cast<unsigned char>(line[0]))) {
      const bool other =
          StartsWithOneOf(line, {"namespace", "struct", "class", "enum", "union", "extern", "template"});
      start = other || line.ends_with(";") || line.find('(') == std::string::npos ? lines.size() : i;
    }
  }
  return errors;
}

std::vector<std::string> LengthErrors(const SourceFile& file) {
  const size_t length = Lines(file.text).size();
  if (length <= kMostLines) return {};
  return {fmt::format("{}: has {} lines", file.path, length)};
}

void ExpectNone(const std::vector<std::string>& errors) {
  for (const std::string& error : errors) ADD_FAILURE() << error;
}

TEST(LengthsTest, FilesAreShort) {
  const std::vector<SourceFile> files = SourceFiles({"src", "tests", "bench", "scripts"});
  ASSERT_GT(files.size(), 50u);
  for (const SourceFile& file : files) ExpectNone(LengthErrors(file));
}

TEST(LengthsTest, FunctionsAreShort) {
  for (const SourceFile& file : SourceFiles({"src"})) ExpectNone(FunctionErrors(file));
}

TEST(LengthsTest, NothingIsPutOffOrBoundToOneMachine) {
  for (const SourceFile& file : SourceFiles({"src", "tests", "bench", "scripts", "docs", "web", ".ci"})) {
    ExpectNone(WordErrors(file));
  }
}

/// The checks themselves: a law that cannot be broken is none.
TEST(LengthsTest, TheChecksRefuseWhatTheyMust) {
  const auto lines = [](size_t n) {
    std::string text;
    for (size_t i = 0; i < n; ++i) text += "  x();\n";
    return text;
  };
  EXPECT_TRUE(LengthErrors({"src/a.cc", lines(600)}).empty());
  EXPECT_FALSE(LengthErrors({"src/a.cc", lines(601)}).empty());

  EXPECT_TRUE(FunctionErrors({"src/nn/a.cc", "int F(int a,\n      int b) {\n" + lines(77) + "}\n"}).empty());
  EXPECT_FALSE(FunctionErrors({"src/nn/a.cc", "int F(int a,\n      int b) {\n" + lines(78) + "}\n"}).empty());
  EXPECT_TRUE(FunctionErrors({"src/kernels/a.cc", "void F() {\n" + lines(118) + "}\n"}).empty());
  EXPECT_FALSE(FunctionErrors({"src/nn/a.cc", "void F() {\n" + lines(79) + "}\n"}).empty());
  EXPECT_FALSE(FunctionErrors({"src/kernels/a.cc", "void F() {\n" + lines(119) + "}\n"}).empty());
  EXPECT_TRUE(FunctionErrors({"src/nn/a.h", "class A {\n" + lines(200) + "};\n"}).empty());

  for (const std::string& word : ForbiddenWords()) {
    EXPECT_FALSE(WordErrors({"src/a.cc", "int x;  // " + word}).empty()) << word;
    EXPECT_FALSE(WordErrors({"src/a.cc", "\n\"" + word + "\"\n"}).empty()) << word;
  }
  EXPECT_TRUE(WordErrors({"src/a.cc", std::string("MASTO") + "DON " + std::string("./wo") + "rk/x"}).empty());
}

}  // namespace
}  // namespace linnet::laws

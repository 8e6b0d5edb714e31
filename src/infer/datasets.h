// The files that models are scored on. Errors name the file and the line.
//
//   texts       JSON lines, each an object whose "text" is a document
//   completions the same; the last word, with the blank before it, is what is to be predicted (LAMBADA, as
//               RWKV-LM's scripts read it)
//   questions   JSON lines {"prompt": "...", "choices": ["...", ...], "answer": 1}: answers count from 0;
//               "subject" may name a group
//   pairs       two text files; line by line a right and a wrong text (klosax/ppl_hellaswag)
//   answers     infer/answers.h
//   MMLU        infer/mmlu.h
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace linnet {

/// A document and the line that holds it.
struct TextLine {
  int64_t line;
  std::string text;
};
std::vector<TextLine> ReadTextLines(const std::filesystem::path& file);
/// The same from bytes; `name` is what errors call them.
std::vector<TextLine> ParseTextLines(std::string_view bytes, const std::string& name);

struct CompletionText {
  std::string context, target;  // the target begins with a blank
};
std::vector<CompletionText> ReadCompletions(const std::filesystem::path& file);

/// A question with its choices, as text.
struct QuestionText {
  std::string subject, prompt;
  std::vector<std::string> choices;  // 2 or more, none empty
  int answer;                        // the right one
};
std::vector<QuestionText> ReadQuestions(const std::filesystem::path& file);

/// The strings under two keys, of every line. Throws Error if a line lacks one, or if there are no lines.
std::vector<std::pair<std::string, std::string>> ReadStrings(const std::filesystem::path& file,
                                                             const char* first, const char* second);

/// {right, wrong} texts.
std::vector<std::pair<std::string, std::string>> ReadPairs(const std::filesystem::path& right,
                                                           const std::filesystem::path& wrong);

}  // namespace linnet

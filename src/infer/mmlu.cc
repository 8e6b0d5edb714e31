#include "infer/mmlu.h"

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "base/file.h"
#include "text/csv.h"

namespace linnet {
namespace {

constexpr size_t kMostChoices = 26;

char Letter(size_t choice) { return static_cast<char>('A' + choice); }

std::string SubjectOf(const std::filesystem::path& file) {
  std::string name = file.stem().string();
  for (const char* part : {"_dev", "_val", "_test"}) {
    if (name.ends_with(part)) {
      name.erase(name.rfind('_'));
      break;
    }
  }
  std::ranges::replace(name, '_', ' ');
  return name;
}

/// "C" or "2" -> 2; -1 if it is neither.
int AnswerOf(const std::string& text, size_t choices) {
  if (text.size() == 1 && text[0] >= 'A' && text[0] < Letter(choices)) return text[0] - 'A';
  int number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool sound = error == std::errc() && end == text.data() + text.size();
  return sound && number >= 0 && number < static_cast<int>(choices) ? number : -1;
}

MmluItem ItemOf(CsvRecord record, const std::string& name) {
  const size_t fields = record.fields.size();
  Check(fields >= 4 && fields - 2 <= kMostChoices,
        "{}, line {}: must have a question, 2 to {} choices and an answer, but has {} fields", name,
        record.line, kMostChoices, fields);
  const size_t choices = fields - 2;
  const int answer = AnswerOf(record.fields.back(), choices);
  Check(answer >= 0,
        "{}, line {}: the answer must be a letter from A to {} or a number from 0 to {}, but is '{}'", name,
        record.line, Letter(choices - 1), choices - 1, record.fields.back().substr(0, 40));
  const auto first = record.fields.begin() + 1;
  return {record.fields[0], {first, record.fields.end() - 1}, answer};
}

/// The question and its lettered choices, a line each.
std::string Body(const MmluItem& item) {
  std::string text = item.question + "\n";
  for (size_t i = 0; i < item.choices.size(); ++i)
    text += fmt::format("{}. {}\n", Letter(i), item.choices[i]);
  return text;
}

/// An item up to where its answer, a blank and a letter, is to stand.
std::string Asked(MmluForm form, const std::string& subject, const MmluItem& item) {
  if (form == MmluForm::kPlain) return Body(item) + "Answer:";
  return fmt::format(
      "User: You are a very talented expert in {}. Answer this question:\n{}\nAssistant: The answer is",
      subject, Body(item));
}

}  // namespace

MmluSubject ReadMmluSubject(const std::filesystem::path& file) {
  const std::string text = ReadFile(file), name = file.string();
  MmluSubject subject{SubjectOf(file), {}};
  CsvReader reader(text, name);
  CsvRecord record;
  bool first = true;
  while (reader.Next(record)) {
    const bool header = first && record.fields.front() == "question" && record.fields.back() == "answer";
    first = false;
    if (!header) subject.items.push_back(ItemOf(std::move(record), name));
  }
  Check(!subject.items.empty(), "{}: has no questions", name);
  return subject;
}

std::vector<MmluSubject> ReadMmlu(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) return {ReadMmluSubject(path)};
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    if (entry.path().extension() == ".csv") files.push_back(entry.path());
  }
  std::ranges::sort(files);
  Check(!files.empty(), "{}: has no .csv files", path.string());
  std::vector<MmluSubject> subjects;
  for (const auto& file : files) subjects.push_back(ReadMmluSubject(file));
  return subjects;
}

QuestionText AskMmlu(MmluForm form, const std::string& subject, std::span<const MmluItem> examples,
                     const MmluItem& item) {
  QuestionText asked{subject, "", {}, item.answer};
  if (form == MmluForm::kPlain) {
    asked.prompt =
        fmt::format("The following are multiple choice questions (with answers) about {}.\n\n", subject);
  }
  for (const MmluItem& example : examples) {
    asked.prompt += fmt::format("{} {}\n\n", Asked(form, subject, example), Letter(example.answer));
  }
  asked.prompt += Asked(form, subject, item);
  std::erase(asked.prompt, '\r');
  for (size_t i = 0; i < item.choices.size(); ++i) asked.choices.push_back(fmt::format(" {}", Letter(i)));
  return asked;
}

}  // namespace linnet

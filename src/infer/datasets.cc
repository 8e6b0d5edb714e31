#include "infer/datasets.h"

#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/file.h"

namespace linnet {
namespace {

using nlohmann::json;

constexpr size_t kMostChoices = 1000;

/// Calls visit(line number, line without its end) for each line that is not blank.
template <class Visit>
void ForEachLine(std::string_view text, const Visit& visit) {
  int64_t number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    ++number;
    if (line.find_first_not_of(" \t") != std::string_view::npos) visit(number, line);
    at = end + 1;
  }
}

std::string Place(const std::string& name, int64_t line) { return fmt::format("{}, line {}", name, line); }

/// Calls visit(line number, object, place) for each line, which must be a JSON object.
template <class Visit>
void ForEachObject(std::string_view bytes, const std::string& name, const Visit& visit) {
  ForEachLine(bytes, [&](int64_t number, std::string_view line) {
    const std::string place = Place(name, number);
    const json object = json::parse(line, nullptr, /*allow_exceptions=*/false);
    Check(object.is_object(), "{}: is not a JSON object; every line must be one", place);
    visit(number, object, place);
  });
}

const std::string& StringOf(const json& object, const char* key, const std::string& place) {
  const auto found = object.find(key);
  Check(found != object.end() && found->is_string(), "{}: must have a string \"{}\"", place, key);
  return found->template get_ref<const std::string&>();
}

std::vector<std::string> ChoicesOf(const json& object, const std::string& place) {
  const auto found = object.find("choices");
  Check(found != object.end() && found->is_array() && found->size() >= 2,
        "{}: \"choices\" must be a list of at least two texts", place);
  Check(found->size() <= kMostChoices, "{}: has {} choices, more than {}", place, found->size(),
        kMostChoices);
  std::vector<std::string> choices;
  for (const json& choice : *found) {
    Check(choice.is_string() && !choice.template get_ref<const std::string&>().empty(),
          "{}: choice {} must be a text and not empty", place, choices.size());
    choices.push_back(choice);
  }
  return choices;
}

int AnswerOf(const json& object, size_t choices, const std::string& place) {
  const auto found = object.find("answer");
  const bool sound = found != object.end() && found->is_number_integer() && *found >= 0 &&
                     *found < static_cast<int64_t>(choices);
  Check(sound, "{}: \"answer\" must be the number of the right choice, 0 to {}, but is {}", place,
        choices - 1,
        found == object.end() ? "missing" : found->dump(-1, ' ', false, json::error_handler_t::replace));
  return found->get<int>();
}

std::vector<std::pair<int64_t, std::string>> LinesOf(const std::filesystem::path& file) {
  std::vector<std::pair<int64_t, std::string>> lines;
  ForEachLine(ReadFile(file),
              [&](int64_t number, std::string_view line) { lines.emplace_back(number, line); });
  return lines;
}

}  // namespace

std::vector<TextLine> ParseTextLines(std::string_view bytes, const std::string& name) {
  std::vector<TextLine> texts;
  ForEachObject(bytes, name, [&](int64_t number, const json& object, const std::string& place) {
    texts.push_back({number, StringOf(object, "text", place)});
  });
  Check(!texts.empty(), "{}: has no lines; each must be an object such as {{\"text\": \"...\"}}", name);
  return texts;
}

std::vector<TextLine> ReadTextLines(const std::filesystem::path& file) {
  return ParseTextLines(ReadFile(file), file.string());
}

std::vector<CompletionText> ReadCompletions(const std::filesystem::path& file) {
  std::vector<CompletionText> completions;
  for (const auto& [line, text] : ReadTextLines(file)) {
    const size_t blank = text.rfind(' ');
    Check(blank != std::string::npos && blank > 0 && blank + 1 < text.size(),
          "{}: the text has no last word after a blank, which is to be predicted",
          Place(file.string(), line));
    completions.push_back({text.substr(0, blank), text.substr(blank)});
  }
  return completions;
}

std::vector<QuestionText> ReadQuestions(const std::filesystem::path& file) {
  std::vector<QuestionText> questions;
  ForEachObject(ReadFile(file), file.string(), [&](int64_t, const json& object, const std::string& place) {
    QuestionText question;
    if (object.contains("subject")) question.subject = StringOf(object, "subject", place);
    question.prompt = StringOf(object, "prompt", place);
    question.choices = ChoicesOf(object, place);
    question.answer = AnswerOf(object, question.choices.size(), place);
    questions.push_back(std::move(question));
  });
  Check(!questions.empty(), "{}: has no questions", file.string());
  return questions;
}

std::vector<std::pair<std::string, std::string>> ReadStrings(const std::filesystem::path& file,
                                                             const char* first, const char* second) {
  std::vector<std::pair<std::string, std::string>> strings;
  ForEachObject(ReadFile(file), file.string(), [&](int64_t, const json& object, const std::string& place) {
    strings.emplace_back(StringOf(object, first, place), StringOf(object, second, place));
  });
  Check(!strings.empty(), "{}: has no lines; each must be an object with \"{}\" and \"{}\"", file.string(),
        first, second);
  return strings;
}

std::vector<std::pair<std::string, std::string>> ReadPairs(const std::filesystem::path& right,
                                                           const std::filesystem::path& wrong) {
  const auto rights = LinesOf(right), wrongs = LinesOf(wrong);
  Check(!rights.empty(), "{}: has no lines", right.string());
  Check(rights.size() == wrongs.size(), "{} has {} lines and {} has {}: they must go together in pairs",
        right.string(), rights.size(), wrong.string(), wrongs.size());
  std::vector<std::pair<std::string, std::string>> pairs;
  for (size_t i = 0; i < rights.size(); ++i) {
    Check(rights[i].second != wrongs[i].second, "{}: is the same text as {}",
          Place(right.string(), rights[i].first), Place(wrong.string(), wrongs[i].first));
    pairs.emplace_back(rights[i].second, wrongs[i].second);
  }
  return pairs;
}

}  // namespace linnet

#include "train/documents.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/check.h"
#include "text/utf8.h"

namespace linnet {
namespace {

using nlohmann::json;

/// An answer as the model is to give it after the template's words: behind a colon stands a blank. Where an
/// empty line would end it, it has none.
std::string Answer(const std::string& content, const ChatTemplate& chat) {
  if (!chat.clean) return content;
  const bool ends_at_empty_line = std::ranges::count(chat.stops, "\n\n") > 0;
  std::string answer = ends_at_empty_line ? CleanMessage(content) : content;
  const auto blank = [](unsigned char c) { return std::isspace(c) != 0; };
  answer.erase(answer.begin(), std::ranges::find_if_not(answer, blank));
  while (!answer.empty() && blank(static_cast<unsigned char>(answer.back()))) answer.pop_back();
  return (chat.assistant.ends_with(':') ? " " : "") + answer;
}

/// How much of the text between an answer and the next one the model says itself: what it stops at.
size_t LearntOf(const std::string& prompt, const ChatTemplate& chat) {
  size_t learnt = std::min(chat.end.size(), prompt.size());
  for (const std::string_view stop : chat.stops) {
    if (prompt.starts_with(stop)) learnt = std::max(learnt, stop.size());
  }
  return learnt;
}

const std::string& Text(const json& object, const char* key) {
  const auto found = object.find(key);
  Check(found != object.end() && found->is_string(), "\"{}\" must be a text", key);
  return found->get_ref<const std::string&>();
}

std::vector<Message> ReadMessages(const json& list) {
  Check(list.is_array() && !list.empty(),
        "\"messages\" must be a list of objects with \"role\" and \"content\"");
  std::vector<Message> messages;
  for (const json& message : list) {
    Check(message.is_object(), "\"messages\" must be a list of objects with \"role\" and \"content\"");
    messages.push_back({Text(message, "role"), Text(message, "content")});
  }
  return messages;
}

bool ReadEnd(const json& object) {
  const auto found = object.find("end");
  if (found == object.end()) return true;
  Check(found->is_boolean(), "\"end\" must be true or, if the last answer breaks off, false");
  return *found;
}

std::vector<Document> ReadQuestions(const json& object, const ChatTemplate& chat) {
  std::vector<std::string> questions;
  if (object.contains("question")) {
    questions.push_back(Text(object, "question"));
  } else {
    const json& list = object.at("questions");
    Check(list.is_array() && !list.empty(), "\"questions\" must be a list of texts");
    for (const json& question : list) {
      Check(question.is_string(), "\"questions\" must be a list of texts");
      questions.push_back(question);
    }
  }
  std::vector<Document> documents;
  for (const std::string& question : questions) {
    documents.push_back(
        {WriteConversation({{"user", question}, {"assistant", Text(object, "answer")}}, chat)});
  }
  return documents;
}

}  // namespace

Pieces WriteConversation(const std::vector<Message>& messages, const ChatTemplate& chat) {
  const bool has_system = !messages.empty() && messages.front().role == "system";
  const std::optional<std::string> system =
      has_system ? std::optional(messages.front().content) : std::nullopt;
  Pieces pieces;
  if (std::string opening = ChatOpening(chat, system); !opening.empty()) pieces.push_back({opening, 0});
  bool answered = true, any = !pieces.empty();
  for (size_t i = has_system ? 1 : 0; i < messages.size(); ++i) {
    const auto& [role, content] = messages[i];
    Check(role == "user" || role == "assistant",
          "a message's role must be user or assistant (or, of the first, system) but is '{}'",
          Readable(role.substr(0, 40)));
    Check((role == "user") == answered, "message {} is a second one of the {} in a row", i + 1, role);
    answered = role == "assistant";
    if (answered) {
      std::string answer = Answer(content, chat);
      const size_t size = answer.size();
      pieces.push_back({std::move(answer), size});
    } else {
      std::string prompt = ChatPrompt(chat, content, FindThinkForm("off"), !any);
      const bool after_answer = !pieces.empty() && pieces.back().learnt > 0;
      const size_t learnt = after_answer ? LearntOf(prompt, chat) : 0;
      pieces.push_back({std::move(prompt), learnt});
      any = true;
    }
  }
  Check(answered && any && !pieces.empty() && messages.back().role == "assistant",
        "a conversation must end with an answer of the assistant");
  return pieces;
}

std::vector<Document> ReadJsonLine(std::string_view line, const ChatTemplate& chat) {
  json object;
  try {
    object = json::parse(line);
  } catch (const json::exception& error) {
    Fail("is no JSON: {}", Readable(std::string_view(error.what()).substr(0, 200)));
  }
  Check(object.is_object(), "is no JSON object");
  if (object.contains("text")) {
    const std::string& text = Text(object, "text");
    return {{{{text, text.size()}}}};
  }
  if (object.contains("messages")) {
    return {{WriteConversation(ReadMessages(object["messages"]), chat), ReadEnd(object)}};
  }
  if (object.contains("question") || object.contains("questions")) return ReadQuestions(object, chat);
  Fail("must have \"text\", \"messages\", or \"question\" and \"answer\"");
}

}  // namespace linnet

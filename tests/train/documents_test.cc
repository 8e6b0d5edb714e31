#include "train/documents.h"

#include <gtest/gtest.h>

#include "train/refusal.h"

namespace linnet {
namespace {

/// A document as one text, what is learnt in brackets, dots behind one whose end is not.
std::string Marked(const Document& document) {
  std::string text;
  for (const Piece& piece : document.pieces) {
    if (piece.learnt > 0) text += "[" + piece.text.substr(0, piece.learnt) + "]";
    text += piece.text.substr(piece.learnt);
  }
  return document.end ? text : text + "...";
}

std::vector<std::string> Lines(std::string_view line, std::string_view chat) {
  std::vector<std::string> documents;
  for (const Document& document : ReadJsonLine(line, FindChatTemplate(chat))) {
    documents.push_back(Marked(document));
  }
  return documents;
}

TEST(Documents, TextIsLearntWhole) {
  EXPECT_EQ(Lines(R"({"text": "a\nb \u00e9", "meta": 3})", "qa"),
            (std::vector<std::string>{"[a\nb \xC3\xA9]"}));
  EXPECT_EQ(Lines(R"({"text": ""})", "qa"), (std::vector<std::string>{""}));
}

TEST(Documents, OfConversationsTheAnswersAreLearnt) {
  const char* line =
      R"({"messages": [{"role": "user", "content": " hi\n\nyou "},
          {"role": "assistant", "content": "one\n\ntwo\n"},
          {"role": "user", "content": "and?"}, {"role": "assistant", "content": "three"}]})";
  EXPECT_EQ(Lines(line, "question"),
            (std::vector<std::string>{
                "Question: hi\nyou\nAnswer:[ one\ntwo][\n\n]Question: and?\nAnswer:[ three]"}));
  // What ends an answer reaches into the next message; answers keep their paragraphs.
  EXPECT_EQ(Lines(line, "g1"),
            (std::vector<std::string>{"User: hi\nyou\n\nAssistant:[ one\n\ntwo][\n\nUser:] and?\n\n"
                                      "Assistant:[ three]"}));
  EXPECT_EQ(Lines(line, "plain"), (std::vector<std::string>{" hi\n\nyou [one\n\ntwo\n]and?[three]"}));
}

TEST(Documents, ConversationsBeginAsInAChat) {
  const char* line =
      R"({"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"},
          {"role": "assistant", "content": "ho"}]})";
  EXPECT_EQ(Lines(line, "world"),
            (std::vector<std::string>{"System: Be brief.\n\nUser: hi\n\nAssistant:[ ho]"}));
  const std::string without = Lines(R"({"question": "hi", "answer": "ho"})", "world").front();
  EXPECT_EQ(without, std::string(FindChatTemplate("world").opening) + "\n\nUser: hi\n\nAssistant:[ ho]");
}

TEST(Documents, AnAnswerMayBreakOff) {
  const std::string messages =
      R"({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}])";
  EXPECT_EQ(Lines(messages + R"(, "end": false})", "question"),
            (std::vector<std::string>{"Question: hi\nAnswer:[ ho]..."}));
  EXPECT_EQ(Lines(messages + R"(, "end": true})", "question"),
            (std::vector<std::string>{"Question: hi\nAnswer:[ ho]"}));
}

TEST(Documents, EveryQuestionIsADocument) {
  EXPECT_EQ(Lines(R"({"id": "x", "questions": ["a", "b"], "answer": "c"})", "question"),
            (std::vector<std::string>{"Question: a\nAnswer:[ c]", "Question: b\nAnswer:[ c]"}));
}

TEST(Documents, WhatIsNoneIsRefused) {
  const std::pair<const char*, const char*> cases[] = {
      {"{", "no JSON"},
      {"{\"text\": \"\xFF\"}", "no JSON"},
      {"[1]", "no JSON object"},
      {"{}", "must have \"text\""},
      {R"({"text": 3})", "\"text\" must be a text"},
      {R"({"messages": []})", "must be a list"},
      {R"({"messages": [3]})", "must be a list"},
      {R"({"messages": [{"role": "user"}]})", "\"content\" must be a text"},
      {R"({"messages": [{"role": "tool", "content": ""}]})", "'tool'"},
      {R"({"messages": [{"role": "user", "content": "a"}]})", "must end with an answer"},
      {R"({"messages": [{"role": "system", "content": "a"}]})", "must end with an answer"},
      {R"({"messages": [{"role": "assistant", "content": "a"}]})",
       "message 1 is a second one of the assistant"},
      {R"({"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]})", "message 2"},
      {R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "end": 0})",
       "\"end\" must be true"},
      {R"({"question": "a"})", "\"answer\" must be a text"},
      {R"({"questions": "a", "answer": "b"})", "\"questions\""},
      {R"({"questions": [1], "answer": "b"})", "\"questions\""},
  };
  for (const auto& [text, part] : cases) {
    const std::string& line = text;  // which a lambda may take
    EXPECT_TRUE(Refused([&] { ReadJsonLine(line, FindChatTemplate("qa")); }, {part})) << line;
  }
}

}  // namespace
}  // namespace linnet

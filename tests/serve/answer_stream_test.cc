#include "serve/answer_stream.h"

#include <gtest/gtest.h>

namespace linnet {
namespace {

struct Seen {
  std::string reasoning, content;
};

/// What a client sees of an answer that comes in pieces of so many bytes.
Seen See(const ChatRequest& request, const char* chat, const std::string& answer, size_t piece) {
  AnswerStream stream(request, FindChatTemplate(chat));
  Seen seen;
  const auto take = [&](const AnswerStream::Pieces& pieces) {
    Utf8Stream whole(Utf8Stream::Mode::kRaw);  // holds back a character that is not
    EXPECT_EQ(whole.Push(pieces.content), pieces.content);
    seen.reasoning += pieces.reasoning;
    seen.content += pieces.content;
  };
  for (size_t at = 0; at < answer.size(); at += piece)
    take(stream.Push(std::string_view(answer).substr(at, piece)));
  take(stream.Finish());
  return seen;
}

class AnswerStreamTest : public testing::TestWithParam<size_t> {
 protected:
  ChatRequest Thinking(const char* form) const {
    ChatRequest request;
    request.think = &FindThinkForm(form);
    return request;
  }
};

TEST_P(AnswerStreamTest, BlanksAroundAnAnswerDoNotShow) {
  const Seen seen = See(Thinking("off"), "g1", " \n Two \n\n words\xE4\xB8\x80. \n", GetParam());
  EXPECT_EQ(seen.content, "Two \n\n words\xE4\xB8\x80.");
  EXPECT_EQ(seen.reasoning, "");
}

TEST_P(AnswerStreamTest, AThoughtIsApart) {
  const Seen seen = See(Thinking("on"), "g1", ">\nHm. <b> \n</think>\n\nYes.", GetParam());
  EXPECT_EQ(seen.reasoning, "Hm. <b>");
  EXPECT_EQ(seen.content, "Yes.");
  EXPECT_EQ(See(Thinking("fast"), "g1", ">\nYes.", GetParam()).content, "Yes.");
  EXPECT_EQ(See(Thinking("on"), "g1", "> cut", GetParam()).reasoning, "cut");
}

TEST_P(AnswerStreamTest, WhatGoesOnKeepsItsBlanks) {
  ChatRequest request = Thinking("off");
  request.goes_on = true;
  EXPECT_EQ(See(request, "g1", " world. ", GetParam()).content, " world.");
  EXPECT_EQ(See(Thinking("off"), "plain", "  as it is \n", GetParam()).content, "  as it is \n");
}

TEST_P(AnswerStreamTest, BrokenCharactersAreReplaced) {
  EXPECT_EQ(See(Thinking("off"), "g1",
                "a\xE4\xB8"
                "b\xFF",
                GetParam())
                .content,
            "a\uFFFDb\uFFFD");
  EXPECT_EQ(See(Thinking("off"), "g1", "a\xE4\xB8", GetParam()).content, "a\uFFFD");
}

INSTANTIATE_TEST_SUITE_P(Pieces, AnswerStreamTest, testing::Values(1, 2, 3, 100));

TEST(FirstCallEndTest, LiesBehindItsArguments) {
  ChatRequest request;
  request.think = &FindThinkForm("off");
  request.tools = true;
  const std::string before = "So: ```json\n[{\"name\":\"f\",\"arguments\":{\"a\":{}}";
  for (size_t cut = 0; cut < before.size(); ++cut) {
    FirstCallEnd end(AnswerStream(request, FindChatTemplate("g1")));
    EXPECT_FALSE(end(before.substr(0, cut)));
    const auto closing = end(before.substr(cut) + "},{\"name\"");
    ASSERT_TRUE(closing);
    EXPECT_EQ(closing->bytes, before.size() - cut);
    EXPECT_EQ(closing->text, "}]\n```");
  }
  FirstCallEnd none(AnswerStream(request, FindChatTemplate("g1")));
  EXPECT_FALSE(none("Hello. ```json\n{\"x\":1}\n```"));
}

}  // namespace
}  // namespace linnet

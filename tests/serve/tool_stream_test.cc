#include "serve/tool_stream.h"

#include <gtest/gtest.h>

namespace linnet {
namespace {

/// What comes of an answer: text, then calls as |name arguments, with an ellipsis after one that is not
/// whole. Whatever bytes come together, it is the same.
std::string Seen(const std::vector<std::string_view>& pieces) {
  ToolStream stream;
  std::string text;
  std::vector<ToolCall> calls;
  bool in_call = false;
  const auto take = [&](const ToolStream::Pieces& certain) {
    text += certain.text;
    for (const ToolCallPiece& piece : certain.calls) {
      Utf8Stream whole(Utf8Stream::Mode::kRaw);  // holds back a character that is not
      EXPECT_EQ(whole.Push(piece.arguments), piece.arguments);
      EXPECT_TRUE(piece.begins || in_call);
      in_call = !piece.ends;
    }
    Append(certain.calls, calls);
  };
  for (const std::string_view piece : pieces) take(stream.Push(piece));
  take(stream.Finish());
  for (const ToolCall& call : calls)
    text += "|" + call.name + " " + call.arguments + (call.whole ? "" : "...");
  return text;
}

void ExpectSeen(const std::string& answer, const std::string& expected) {
  const std::string_view all = answer;
  EXPECT_EQ(Seen({all}), expected);
  for (size_t cut = 1; cut < all.size(); ++cut)
    EXPECT_EQ(Seen({all.substr(0, cut), all.substr(cut)}), expected)
        << "cut after " << cut << " of: " << answer;
  for (size_t length = 1; length < std::min<size_t>(all.size(), 9); ++length) {
    std::vector<std::string_view> pieces;
    for (size_t at = 0; at < all.size(); at += length) pieces.push_back(all.substr(at, length));
    EXPECT_EQ(Seen(pieces), expected) << "pieces of " << length << " of: " << answer;
  }
}

TEST(ToolStream, CallsInBlocks) {
  ExpectSeen("```json\n{\"name\":\"f\",\"arguments\":{\"a\":1}}\n```", "|f {\"a\":1}");
  ExpectSeen(" ```json\n{\"name\": \"f\", \"arguments\": {\"a\": \"```\"}}\n```", " |f {\"a\":\"```\"}");
  ExpectSeen("```json\n{\"name\":\"\\u00e9\\\"\",\"arguments\":{\"a\":\"\\\\\\\"}]\"}}\n```",
             "|\u00e9\" {\"a\":\"\\\\\\\"}]\"}");
  ExpectSeen(
      "Let me see. ```json\n{\"name\":\"f\"}\n```\n```json\n{\"name\":\"g\",\"arguments\":{}}\n``` Done.",
      "Let me see. \n Done.|f {}|g {}");
  ExpectSeen("```json\n{\"name\":\"f\",\"arguments\":{\"a\":\"\u4e00\xF0\x9F\x90\xA6\"}}\n```",
             "|f {\"a\":\"\u4e00\xF0\x9F\x90\xA6\"}");
  // What ended the answer may have come before the block's end.
  ExpectSeen("```json\n{\"name\":\"f\",\"arguments\":{}}\n", "|f {}");
  ExpectSeen("```json\n{\"name\":\"f\",\"arguments\":{}}\n``", "|f {}");
}

TEST(ToolStream, SeveralCallsInABlock) {
  ExpectSeen("```json\n[{\"name\":\"f\"},{\"name\":\"g\"}]```", "|f {}|g {}");
  ExpectSeen(
      "```json\n[\n  {\"name\": \"f\", \"arguments\": {\"a\": [1, 2]}},\n  {\"name\": \"g\", \"arguments\": "
      "{}}\n]\n```\nSo.",
      "\nSo.|f {\"a\":[1,2]}|g {}");
  ExpectSeen("```json\n{\"name\":\"f\",\"arguments\":{}}\n{\"name\":\"g\",\"arguments\":{}}\n```",
             "|f {}|g {}");
  // Each of a list is judged by itself.
  ExpectSeen("```json\n[{\"name\":\"f\",\"arguments\":{}},{\"x\":1}]\n```", "{\"x\":1}]\n```|f {}");
}

TEST(ToolStream, AnObjectThatTheAnswerBeginsWith) {
  ExpectSeen("\n{\"name\":\"f\",\"arguments\":{\"a\":[]}}", "|f {\"a\":[]}");
  ExpectSeen("{\"name\":\"f\",\"arguments\":{}}\n{\"name\":\"g\",\"arguments\":{}}\n", "|f {}|g {}");
  ExpectSeen("{\"name\":\"f\",\"arguments\":{}} Done.", "Done.|f {}");
  ExpectSeen("I say {\"name\":\"f\",\"arguments\":{}}", "I say {\"name\":\"f\",\"arguments\":{}}");
}

TEST(ToolStream, CallsInAnotherOrder) {
  ExpectSeen("```json\n{\"arguments\":{\"a\":1},\"name\":\"f\"}\n```", "|f {\"a\":1}");
  ExpectSeen("```json\n{\"id\":7,\"name\":\"f\",\"arguments\":{}}\n```", "|f {}");
  ExpectSeen("```json\n{\"name\":\"f\",\"arguments\":{},\"why\":{\"}\":[\"```\"]}}\n```.", ".|f {}");
  ExpectSeen("```json\n{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}\n```", "|f {\"a\":1}");
}

TEST(ToolStream, WhatIsNoCallIsText) {
  for (const char* answer : {"Hello, world.",
                             "",
                             "``",
                             "A `code` and ```cpp\nint x;\n```.",
                             "```json\n{\"x\":1}\n```",
                             "```json\n{\"name\":\"Ada\",\"age\":36}\n```",
                             "{\"x\": 1}",
                             "{",
                             "```json\n{\"name\":\"f\",\"arguments\":",
                             "```json\n{\"name\":\"f",
                             "```json",
                             "```json\n[",
                             "```json\n[]\n```",
                             "```json\n{\"name\":\"f\",\"arguments\":1}\n```",
                             "```json\n{\"name\":1,\"arguments\":{}}\n```",
                             "```json\n[{\"x\":1},{\"name\":\"f\",\"arguments\":{}}]\n```",
                             "```json\n{\"arguments\":{\"name\":\"f",
                             "{]}",
                             "```json\n{\"arguments\":{\"a\":1}\n```",
                             "```json\n{\"name\":\"\xFF\",\"arguments\":{}}\n```"})
    ExpectSeen(answer, answer);
  // After an object that is none the answer is text again, and further calls are found.
  ExpectSeen("```json\n{\"x\":1}\n```\n```json\n{\"name\":\"f\",\"arguments\":{}}\n```",
             "```json\n{\"x\":1}\n```\n|f {}");
}

TEST(ToolStream, ACallThatIsCutOffStaysOne) {
  ExpectSeen("```json\n{\"name\":\"f\",\"arguments\":{", "|f {...");
  ExpectSeen("```json\n{\"name\":\"f\",\"arguments\": {\"a\": \"\u4e00\xE4\xB8",
             "|f {\"a\": \"\u4e00\uFFFD...");
  ExpectSeen("{\"name\":\"f\",\"arguments\":{\"a\":[1,", "|f {\"a\":[1,...");
  ExpectSeen("```json\n{\"name\":\"f\",\"arguments\":{\"a\":1\n```\nSorry.", "\nSorry.|f {\"a\":1\n...");
  ExpectSeen("```json\n[{\"name\":\"f\",\"arguments\":{}},{\"name\":\"g\",\"arguments\":{", "|f {}|g {...");
}

TEST(ToolStream, ArgumentsThatAreNoJsonStayAsTheyAre) {
  ExpectSeen("```json\n{\"name\":\"f\",\"arguments\":{a: 01}}\n```", "|f {a: 01}");
  ExpectSeen("```json\n{\"name\":\"f\",\"arguments\":{\"a\":\"\xFF\"}}\n```", "|f {\"a\":\"\uFFFD\"}");
}

TEST(ToolStream, WhatIsNestedTooDeepIsNotParsed) {
  const std::string deep = "{\"a\":" + std::string(1'000'000, '[') + std::string(1'000'000, ']') + "}";
  EXPECT_EQ(Seen({"```json\n{\"name\":\"f\",\"arguments\":", deep, "}\n```"}), "|f " + deep);
  const std::string other = "```json\n{\"arguments\":" + deep + ",\"name\":\"f\"}\n```";
  EXPECT_EQ(Seen({other}), other);
}

TEST(ToolStream, TextIsNotKeptWaiting) {
  ToolStream stream;
  EXPECT_EQ(stream.Push("Hello ").text, "Hello ");
  EXPECT_EQ(stream.Push("a`").text, "a");
  EXPECT_EQ(stream.Push("b").text, "`b");
  EXPECT_EQ(stream.Push(" ```").text, " ");
  EXPECT_EQ(stream.Push("json").text, "");
  EXPECT_EQ(stream.Push("{\"name\":\"f\"}```").calls.size(), 1u);
}

TEST(ToolStream, ArgumentsAreNotKeptWaiting) {
  ToolStream stream;
  EXPECT_TRUE(stream.Push("```json\n{\"name\":\"f\",\"arguments\":").calls.empty());
  auto pieces = stream.Push("{").calls;
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_TRUE(pieces[0].begins && pieces[0].name == "f" && pieces[0].arguments.empty());
  EXPECT_EQ(pieces[1].arguments, "{");
  EXPECT_EQ(stream.Push("\"a\": \"x\xE4\xB8").calls.at(0).arguments, "\"a\": \"x");
  EXPECT_EQ(stream.Push("\x80").calls.at(0).arguments, "\u4e00");
  pieces = stream.Push("\"}}\n```").calls;  // the call's own brace is none of the arguments
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(pieces[0].arguments, "\"}");
  EXPECT_TRUE(pieces[0].ends);
}

TEST(ToolStream, KnowsWhatIsMissingBehindACall) {
  const auto closing = [](std::string_view text) {
    ToolStream stream;
    stream.Push(text);
    return stream.closing();
  };
  EXPECT_EQ(closing("```json\n{\"name\":\"f\",\"arguments\":{}"), "}\n```");
  EXPECT_EQ(closing("```json [{\"name\":\"f\",\"arguments\":{}"), "}]\n```");
  EXPECT_EQ(closing("{\"name\":\"f\",\"arguments\":{}"), "}");
  EXPECT_EQ(closing("```json\n{\"arguments\":{},\"name\":\"f\"}"), "\n```");
}

}  // namespace
}  // namespace linnet

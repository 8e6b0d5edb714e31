#include "text/chat.h"

#include <gtest/gtest.h>

#include <set>

#include "base/check.h"

namespace linnet {
namespace {

/// What a model has read when it is about to give its second answer.
std::string Written(const char* name, const std::optional<std::string>& system, const char* think = "off") {
  const ChatTemplate& chat = FindChatTemplate(name);
  const ThinkForm& form = FindThinkForm(think);
  const std::string opening = ChatOpening(chat, system);
  return opening + ChatPrompt(chat, "one\r\n\r\ntwo ", form, opening.empty()) + "<first>" +
         ChatPrompt(chat, "three", form, false);
}

TEST(Chat, EveryTemplateToTheByte) {
  EXPECT_EQ(Written("g1", {}), "User: one\ntwo\n\nAssistant:<first>\n\nUser: three\n\nAssistant:");
  EXPECT_EQ(Written("g1", "Be\n\nbrief."),
            "System: Be\nbrief.\n\nUser: one\ntwo\n\nAssistant:<first>\n\nUser: three\n\nAssistant:");
  EXPECT_EQ(Written("world", "S"),
            "System: S\n\nUser: one\ntwo\n\nAssistant:<first>\n\nUser: three\n\nAssistant:");
  EXPECT_EQ(Written("world", ""), "User: one\ntwo\n\nAssistant:<first>\n\nUser: three\n\nAssistant:");
  EXPECT_EQ(Written("raven", "S"), "\nS\n\nBob: one\ntwo\n\nAlice:<first>\n\nBob: three\n\nAlice:");
  const std::string below =
      "\nBelow is an instruction that describes a task. Write a response that appropriately completes the "
      "request.\n\n# Instruction:\n";
  EXPECT_EQ(Written("instruct", {}),
            below + "one\ntwo\n\n# Response:\n<first>\n\n" + below + "three\n\n# Response:\n");
  EXPECT_EQ(Written("qa", {}), "\nQ: one\ntwo\nA:<first>\n\nQ: three\nA:");
  EXPECT_EQ(Written("question", {}), "Question: one\ntwo\nAnswer:<first>\n\nQuestion: three\nAnswer:");
  EXPECT_EQ(Written("plain", {}), "one\r\n\r\ntwo <first>three");
}

TEST(Chat, OpeningsAreTurnsOfTheirTemplates) {
  for (const ChatTemplate& chat : ChatTemplates()) {
    if (chat.opening.empty()) continue;
    const std::string opening = ChatOpening(chat, {});
    EXPECT_NE(opening.find(std::string("\n\n") + std::string(chat.assistant.substr(2))), std::string::npos);
    EXPECT_FALSE(opening.ends_with('\n')) << chat.name;
  }
  EXPECT_TRUE(ChatOpening(FindChatTemplate("world"), {}).starts_with("User: hi\n\nAssistant: "));
  EXPECT_TRUE(ChatOpening(FindChatTemplate("raven"), {}).starts_with("\nThis is a conversation"));
}

TEST(Chat, EveryTemplateHasItsOwnNameAndStopsBeforeTheNextMessage) {
  std::set<std::string_view> names;
  for (const ChatTemplate& chat : ChatTemplates()) {
    EXPECT_TRUE(names.insert(chat.name).second) << chat.name;
    if (chat.user.empty()) continue;
    // A model that writes the next message itself must run into a stop.
    const std::string next = "x" + ChatPrompt(chat, "y", FindThinkForm("off"), false);
    bool stops = false;
    for (const std::string& stop : ChatStops(chat)) stops |= next.find(stop) != std::string::npos;
    EXPECT_TRUE(stops) << chat.name;
  }
}

TEST(Chat, ThinkFormsToTheByte) {
  const std::string head = "User: q", tail = "\n\nAssistant:";
  const auto prompt = [](const char* form) {
    return ChatPrompt(FindChatTemplate("g1"), "q", FindThinkForm(form), true);
  };
  EXPECT_EQ(prompt("off"), head + tail);
  EXPECT_EQ(prompt("on"), head + tail + " <think");
  EXPECT_EQ(prompt("short"), head + " (think a bit)" + tail + " <think");
  EXPECT_EQ(prompt("medium"), head + " (think)" + tail + " <think");
  EXPECT_EQ(prompt("long"), head + " (think a lot)" + tail + " <think");
  EXPECT_EQ(prompt("fast"), head + tail + " <think>\n</think");
  EXPECT_EQ(prompt("none"), head + tail + " <think></think");
}

TEST(Chat, CleanMessages) {
  EXPECT_EQ(CleanMessage("  a b \t\n"), "a b");
  EXPECT_EQ(CleanMessage("a\r\n\r\n\r\nb\n\n\nc\rd"), "a\nb\nc\rd");
  EXPECT_EQ(CleanMessage("\n\n"), "");
  EXPECT_EQ(CleanMessage(""), "");
  EXPECT_EQ(CleanMessage("\xE4\xBD\xA0"), "\xE4\xBD\xA0");
}

TEST(Chat, TheModelDecidesTheTemplate) {
  const auto name = [](const ChatModelTraits& traits) { return ChatTemplateOf(traits).name; };
  EXPECT_EQ(name({"rwkv7", "world", 65536, "rwkv7-g1-0.1b-20250307-ctx4096.pth", ""}), "g1");
  EXPECT_EQ(name({"rwkv7", "its own", 65536, "rwkv7-g1b-1.5b-20251202-ctx8192.gguf", ""}), "g1");
  EXPECT_EQ(name({"rwkv7a", "world", 65536, "RWKV7a-G1d-0.1b.pth", ""}), "g1");
  EXPECT_EQ(name({"rwkv7", "world", 65536, "RWKV-x070-World-1.5B-v3-20250127-ctx4096.pth", ""}), "world");
  EXPECT_EQ(name({"rwkv6", "world", 65536, "g1.pth", ""}), "world");
  EXPECT_EQ(name({"rwkv7", "world", 65536, "big1.pth", ""}), "world");
  EXPECT_EQ(name({"rwkv4", "20B", 50277, "RWKV-4-Raven-7B-v12.pth", ""}), "raven");
  EXPECT_EQ(name({"rwkv4", "its own", 50277, "169M.pth", ""}), "raven");
  EXPECT_EQ(name({"rwkv7", "bytes", 256, "rwkv7-g1.safetensors", ""}), "question");
  EXPECT_EQ(name({"rwkv7", "some words", 1000, "model.safetensors", ""}), "plain");
  EXPECT_EQ(name({"rwkv7", "bytes", 256, "model.safetensors", "qa"}), "qa");
  EXPECT_THROW(name({"rwkv7", "bytes", 256, "m", "elvish"}), Error);
  EXPECT_THROW(FindThinkForm("harder"), Error);
}

struct SplitAnswer {
  std::string thought, answer;
};

SplitAnswer Split(const std::string& text, size_t step) {
  ThoughtStream stream;
  SplitAnswer all;
  const auto add = [&](const ThoughtStream::Pieces& pieces) {
    all.thought += pieces.thought;
    all.answer += pieces.answer;
  };
  for (size_t i = 0; i < text.size(); i += step) add(stream.Push(std::string_view(text).substr(i, step)));
  add(stream.Finish());
  return all;
}

TEST(Chat, ThoughtsAreSplitOffHoweverTheyArrive) {
  for (const size_t step : {1, 2, 3, 5, 100}) {
    SplitAnswer split = Split(" <think>let </thin me\n</think>\n\nYes </think> it is", step);
    EXPECT_EQ(split.thought, "let </thin me\n") << step;
    EXPECT_EQ(split.answer, "Yes </think> it is") << step;
    split = Split(" <think></think>ok", step);
    EXPECT_EQ(split.thought + "|" + split.answer, "|ok") << step;
    split = Split(" no thought <think>x", step);
    EXPECT_EQ(split.thought + "|" + split.answer, "|no thought <think>x") << step;
    split = Split(" <think>cut off </th", step);
    EXPECT_EQ(split.thought + "|" + split.answer, "cut off </th|") << step;
    split = Split(" <thi", step);
    EXPECT_EQ(split.thought + "|" + split.answer, "|<thi") << step;
  }
}

}  // namespace
}  // namespace linnet

#include "serve/chat_request.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "serve/refused.h"

namespace linnet {
namespace {

using Role = ChatMessage::Role;

const ThinkForm& Off() { return FindThinkForm("off"); }

class ChatRequestTest : public testing::Test {
 protected:
  ChatRequestTest() {
    served_.tokenizer = &tokenizer_;
    served_.name = "tiny";
    served_.chat = &FindChatTemplate("g1");
    served_.think = &Off();
    served_.chat_sampler.top_p = 0.3;
  }

  WrittenConversation Write(const std::vector<ChatMessage>& messages, const char* chat = "g1",
                            const std::string& key_before = "") const {
    return WriteConversation(messages, FindChatTemplate(chat), Off(), tokenizer_, key_before);
  }
  std::string Text(const std::vector<ChatMessage>& messages, const char* chat = "g1") const {
    return tokenizer_.Decode(Write(messages, chat).tokens);
  }
  ChatRequest Read(const std::string& json) const { return ReadChatRequest(ParseBody(json), served_, "me"); }
  /// A request that is fine but for these fields.
  ChatRequest ReadWith(const std::string& fields) const {
    return Read(R"({"messages": [{"role": "user", "content": "hi"}], )" + fields + "}");
  }

  BytesTokenizer tokenizer_;
  Served served_;
};

TEST_F(ChatRequestTest, WritesWhatTheModelsFamilyReads) {
  EXPECT_EQ(Text({{Role::kSystem, "Be brief."}, {Role::kUser, "Hi\n\nthere "}}),
            "System: Be brief.\n\nUser: Hi\nthere\n\nAssistant:");
  EXPECT_EQ(Text({{Role::kUser, "a"}, {Role::kAssistant, "b\n\nc\n"}, {Role::kUser, "d"}}),
            "User: a\n\nAssistant: b\n\nc\n\nUser: d\n\nAssistant:");
  EXPECT_EQ(Text({{Role::kUser, "a"}, {Role::kAssistant, "b\n\nc"}, {Role::kUser, "d"}}, "question"),
            "Question: a\nAnswer: b\nc\n\nQuestion: d\nAnswer:");
  EXPECT_EQ(Text({{Role::kUser, "a"}, {Role::kUser, "b"}}), "User: a\n\nUser: b\n\nAssistant:");
  EXPECT_EQ(Text({{Role::kUser, "a"}, {Role::kSystem, "s"}}), "User: a\n\nSystem: s\n\nAssistant:");
  EXPECT_EQ(Text({{Role::kUser, "a"}, {Role::kAssistant, "The answer is "}}),
            "User: a\n\nAssistant: The answer is");
}

TEST_F(ChatRequestTest, ASecondTurnFindsThePlaceAfterTheFirstAnswer) {
  const std::vector<ChatMessage> first = {{Role::kSystem, "s"}, {Role::kUser, "a"}};
  const WrittenConversation one = Write(first);
  std::vector<ChatMessage> second = first;
  second.push_back({Role::kAssistant, "An answer."});
  second.push_back({Role::kUser, "b"});
  const WrittenConversation two = Write(second);
  // However the model wrote the blanks around it.
  const std::string key = KeyAfterAnswer(one.key, FindChatTemplate("g1"), " An answer.\n");
  ASSERT_EQ(two.marks.size(), 3u);  // after the system text, the answer, and one token before the end
  EXPECT_EQ(two.marks[0].key, one.marks[0].key);
  EXPECT_EQ(two.marks[1].key, key);
  EXPECT_EQ(two.marks[1].tokens, one.tokens.size() + std::string(" An answer.").size());
  EXPECT_EQ(two.marks[2].tokens, two.tokens.size() - 1);
  EXPECT_EQ(key.size(), 32u);
  EXPECT_NE(KeyAfterAnswer(one.key, FindChatTemplate("g1"), "Another"), key);
}

TEST_F(ChatRequestTest, KeysStandForAllThatComesBefore) {
  const auto keys = [&](const char* system) {
    const auto written =
        Write({{Role::kSystem, system}, {Role::kUser, "a"}, {Role::kAssistant, "b"}, {Role::kUser, "c"}});
    return std::pair(written.marks[1].key, written.marks[2].key);
  };
  EXPECT_EQ(keys("s"), keys("s"));
  EXPECT_NE(keys("s").first, keys("t").first);
  EXPECT_NE(keys("s").second, keys("t").second);
}

TEST_F(ChatRequestTest, AStoredConversationGoesOn) {
  const WrittenConversation one = Write({{Role::kUser, "a"}});
  const std::string key = KeyAfterAnswer(one.key, FindChatTemplate("g1"), "b");
  const WrittenConversation rest = Write({{Role::kUser, "c"}}, "g1", key);
  EXPECT_EQ(tokenizer_.Decode(rest.tokens), "\n\nUser: c\n\nAssistant:");
  EXPECT_EQ(rest.key, Write({{Role::kUser, "a"}, {Role::kAssistant, "b"}, {Role::kUser, "c"}}).key);
}

TEST_F(ChatRequestTest, ReadsMessagesInAllTheirForms) {
  const ChatRequest request = Read(R"({"model": "tiny:latest", "messages": [
      {"role": "developer", "content": [{"type": "text", "text": "s"}, {"type": "text", "text": "t"}]},
      {"role": "user", "content": "a"}, {"role": "assistant", "content": null}, {"role": "user", "content": "b"}]})");
  EXPECT_EQ(tokenizer_.Decode(request.job.prompt),
            "System: st\n\nUser: a\n\nAssistant:\n\nUser: b\n\nAssistant:");
  EXPECT_EQ(request.job.client, "me");
  EXPECT_EQ(request.job.sampler.top_p, 0.3);
  EXPECT_EQ(request.job.stops, (std::vector<std::string>{"\n\nUser:", "\n\nSystem:"}));
}

TEST_F(ChatRequestTest, ReadsSampling) {
  const ChatRequest request =
      ReadWith(R"("temperature": 0.5, "top_k": 7, "min_p": 0.1, "logit_bias": {"65": -100},
      "seed": -3, "stop": "x", "max_tokens": 5, "n": 2, "logprobs": true, "top_logprobs": 4, "ignore_eos": true)");
  EXPECT_EQ(request.job.sampler.temperature, 0.5);
  EXPECT_EQ(request.job.sampler.top_k, 7);
  EXPECT_EQ(request.job.sampler.min_p, 0.1);
  EXPECT_EQ(request.job.sampler.bias.at(65), -100);
  EXPECT_EQ(request.job.seed, static_cast<uint64_t>(-3));
  EXPECT_EQ(request.job.stops.front(), "x");
  EXPECT_EQ(request.job.max_tokens, 5);
  EXPECT_EQ(request.job.top_logprobs, 4);
  EXPECT_TRUE(request.job.past_end);
  EXPECT_EQ(request.choices, 2);
  const Job next = NextChoice(request.job);
  EXPECT_EQ(next.seed, static_cast<uint64_t>(-2));
  EXPECT_EQ(next.prompt, request.job.prompt);
  EXPECT_EQ(next.key_after("x"), request.job.key_after("x"));
}

TEST_F(ChatRequestTest, AThoughtIsNoPartOfTheConversation) {
  const ChatRequest request = ReadWith(R"("reasoning_effort": "high")");
  EXPECT_EQ(tokenizer_.Decode(request.job.prompt), "User: hi (think a lot)\n\nAssistant: <think");
  EXPECT_FALSE(request.job.key_after);
  served_.chat = &FindChatTemplate("world");
  EXPECT_TRUE(Refuses(400, "reasoning_effort", [&] { ReadWith(R"("reasoning_effort": "high")"); }));
  EXPECT_TRUE(ReadWith(R"("reasoning_effort": "none")").job.key_after);
}

TEST_F(ChatRequestTest, RefusesByName) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("temperature": "hot")", "temperature"},
      {R"("temperature": -1)", "temperature"},
      {R"("top_p": 1.5)", "top_p"},
      {R"("top_k": 1.5)", "top_k"},
      {R"("stop": [""])", "stop"},
      {R"("stop": 5)", "stop"},
      {R"("n": 0)", "n"},
      {R"("n": 1000)", "n"},
      {R"("seed": 1.5)", "seed"},
      {R"("seed": 1e300)", "seed"},
      {R"("max_tokens": -1)", "max_tokens"},
      {R"("max_tokens": 1e15)", "max_tokens"},
      {R"("logit_bias": {"x": 1})", "logit_bias.x"},
      {R"("logit_bias": {"256": 1})", "logit_bias.256"},
      {R"("logit_bias": [1])", "logit_bias"},
      {R"("top_logprobs": 3)", "top_logprobs"},
      {R"("logprobs": 3)", "logprobs"},
      {R"("stream_options": 3)", "stream_options"},
      {R"("functions": [])", "functions"},
      {R"("audio": {})", "audio"},
      {R"("modalities": ["audio"])", "modalities"},
      {R"("store": true)", "store"},
      {R"("reasoning_effort": "huge")", "reasoning_effort"},
      {R"("lora": "x")", "lora"},
  };
  for (const auto& [fields, param] : cases) {
    EXPECT_TRUE(Refuses(400, param, [&, text = fields] { ReadWith(text); })) << fields;
  }
  EXPECT_TRUE(Refuses(404, "model", [&] { ReadWith(R"("model": "gpt")"); }));
  EXPECT_NO_THROW(ReadWith(R"("temperature": null, "unheard_of": 5, "user": "u")"));
}

TEST_F(ChatRequestTest, RefusesMessagesByTheirPlace) {
  const std::pair<const char*, const char*> cases[] = {
      {R"([])", "messages"},
      {R"("hi")", "messages"},
      {R"(["hi"])", "messages[0]"},
      {R"([{"role": "user"}])", "messages[0].content"},
      {R"([{"content": "x"}])", "messages[0].role"},
      {R"([{"role": "user", "content": "x"}, {"role": "me", "content": "x"}])", "messages[1].role"},
      {R"([{"role": "user", "content": 5}])", "messages[0].content"},
      {R"([{"role": "user", "content": [{"type": "image_url"}]}])", "messages[0].content[0].type"},
  };
  for (const auto& [messages, param] : cases) {
    EXPECT_TRUE(Refuses(400, param, [&, text = messages] {
      Read(std::string(R"({"messages": )") + text + "}");
    })) << messages;
  }
  EXPECT_TRUE(Refuses(400, "messages", [&] { Read("{}"); }));
  EXPECT_TRUE(Refuses(400, "", [&] { Read("{"); }));
  EXPECT_TRUE(Refuses(400, "", [&] { Read("[]"); }));
  EXPECT_TRUE(Refuses(400, "", [&] { Read(R"({"a": )" + std::string(1000, '[')); }));
  EXPECT_NO_THROW(ParseBody("{\"a\": \"" + std::string(1000, '[') + "\\\"\"}"));
}

TEST_F(ChatRequestTest, PromptsAreLimited) {
  served_.max_prompt_tokens = 10;
  EXPECT_TRUE(Refuses(400, "messages", [&] { ReadWith(R"("n": 1)"); }));
}

TEST(SetPromptTest, MarksTheTokenBeforeTheEnd) {
  Job job, longer;
  SetPrompt(job, {1, 2, 3});
  ASSERT_EQ(job.marks.size(), 1u);
  EXPECT_EQ(job.marks[0].tokens, 2u);
  SetPrompt(longer, {1, 2, 4});
  EXPECT_EQ(longer.marks[0].key, job.marks[0].key);
  SetPrompt(longer, {2, 2, 3});
  EXPECT_NE(longer.marks[0].key, job.marks[0].key);
  SetPrompt(job, {1});
}

}  // namespace
}  // namespace linnet

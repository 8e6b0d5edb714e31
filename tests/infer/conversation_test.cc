#include "infer/conversation.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "base/file.h"
#include "formats/refusal.h"
#include "fuzz/conversation_entries.h"
#include "infer/tiny_model.h"

namespace linnet {
namespace {

class ConversationTest : public testing::Test {
 protected:
  static GenerateOptions Options(uint64_t seed = 1, int64_t tokens = 25) {
    GenerateOptions options;
    options.max_tokens = tokens;
    options.past_end = true;
    options.seed = seed;
    return options;
  }
  Conversation NewConversation(const char* chat = "world") const {
    return {model_, tokenizer_, FindChatTemplate(chat)};
  }
  void Ask(Conversation& conversation, const std::string& message, uint64_t seed = 1) const {
    ASSERT_TRUE(conversation.Ask(message, FindThinkForm("off"), Options(seed)).has_value());
  }
  /// The state after these bytes, read in one go.
  Snapshot After(const std::string& text) const {
    const State state = model_.NewState(1);
    const Tensor logits = Prefill(*model_.model, state, tokenizer_.Encode(text));
    return {state.Save(0), logits.Reshape({logits.size()}), static_cast<int64_t>(text.size())};
  }

  const LoadedModel model_ = TinyModel();
  const BytesTokenizer tokenizer_{};
};

/// Equal to within `bound`, or to the bit if that is 0.
void ExpectSame(const Snapshot& a, const Snapshot& b, float bound = 0) {
  EXPECT_EQ(a.tokens, b.tokens);
  ASSERT_EQ(a.variables.size(), b.variables.size());
  std::vector<std::pair<Tensor, Tensor>> pairs{{a.logits, b.logits}};
  for (size_t i = 0; i < a.variables.size(); ++i) pairs.push_back({a.variables[i], b.variables[i]});
  for (const auto& [x, y] : pairs) {
    ASSERT_EQ(x.shape(), y.shape());
    if (bound == 0) {
      EXPECT_EQ(std::memcmp(x.raw(), y.raw(), x.bytes()), 0);
    } else {
      for (Dim i = 0; i < x.size(); ++i) ASSERT_NEAR(x.data()[i], y.data()[i], bound);
    }
  }
}

TEST_F(ConversationTest, TheStateIsThatOfTheTextSaid) {
  Conversation conversation = NewConversation();
  Ask(conversation, "Who\n\nare you? ", 1);
  Ask(conversation, "And I?", 2);
  const auto& turns = conversation.turns();
  ASSERT_EQ(turns.size(), 2u);
  EXPECT_EQ(turns[0].prompt, "\n\nUser: Who\nare you?\n\nAssistant:");
  EXPECT_EQ(turns[1].prompt, "\n\nUser: And I?\n\nAssistant:");
  EXPECT_EQ(turns[0].answer.size(), 25u);
  EXPECT_EQ(conversation.text(),
            conversation.opening() + turns[0].prompt + turns[0].answer + turns[1].prompt + turns[1].answer);
  ExpectSame(*conversation.Position(), After(conversation.text()), 1e-4f);
}

TEST_F(ConversationTest, AStopStringIsTakenBack) {
  Conversation conversation = NewConversation("plain");
  Ask(conversation, "hello");
  const std::string answer = conversation.turns()[0].answer;
  conversation.Undo(1);
  GenerateOptions options = Options();
  options.stops = {answer.substr(10, 4)};
  const auto result = conversation.Ask("hello", FindThinkForm("off"), options);
  EXPECT_EQ(result->end, Generation::End::kStopString);
  EXPECT_EQ(conversation.turns()[0].end, Generation::End::kStopString);
  EXPECT_EQ(conversation.turns()[0].answer, answer.substr(0, answer.find(options.stops[0])));
  ExpectSame(*conversation.Position(), After(conversation.text()), 1e-4f);
}

TEST_F(ConversationTest, UndoRestoresTheStateToTheBit) {
  Conversation conversation = NewConversation();
  std::vector<Snapshot> positions = {*conversation.Position()};
  std::vector<std::string> texts = {conversation.text()};
  for (const char* message : {"a", "b", "c", "d"}) {
    Ask(conversation, message);
    positions.push_back(*conversation.Position());
    texts.push_back(conversation.text());
  }
  EXPECT_EQ(conversation.Undo(0), 0);
  EXPECT_EQ(conversation.Undo(-3), 0);
  EXPECT_EQ(conversation.Undo(1), 1);
  ExpectSame(*conversation.Position(), positions[3]);
  EXPECT_EQ(conversation.Undo(2), 2);
  ExpectSame(*conversation.Position(), positions[1]);
  EXPECT_EQ(conversation.text(), texts[1]);
  Ask(conversation, "b");  // the same again gives the same again
  ExpectSame(*conversation.Position(), positions[2]);
  EXPECT_EQ(conversation.Undo(99), 2);
  ExpectSame(*conversation.Position(), positions[0]);
  EXPECT_EQ(conversation.text(), texts[0]);
}

TEST_F(ConversationTest, RetryAnswersTheSameQuestionFromTheSameState) {
  Conversation conversation = NewConversation();
  Ask(conversation, "a", 1);
  Ask(conversation, "b", 2);
  const auto first = conversation.turns()[1];
  const Snapshot position = *conversation.Position();
  conversation.Retry(Options(3));
  EXPECT_EQ(conversation.turns().size(), 2u);
  EXPECT_EQ(conversation.turns()[1].prompt, first.prompt);
  EXPECT_NE(conversation.turns()[1].answer, first.answer);
  conversation.Retry(Options(2));
  EXPECT_EQ(conversation.turns()[1].answer, first.answer);
  ExpectSame(*conversation.Position(), position);
  // After going back, too, where the question must be read once more.
  Ask(conversation, "c");
  conversation.Undo(1);
  conversation.Retry(Options(2));
  EXPECT_EQ(conversation.turns()[1].answer, first.answer);
  ExpectSame(*conversation.Position(), position);
}

TEST_F(ConversationTest, ContinueGoesOnWithTheSameAnswer) {
  Conversation whole = NewConversation(), parts = NewConversation();
  GenerateOptions options = Options();
  options.sampler = {.top_k = 1, .frequency_penalty = 0.3};  // what was said matters
  whole.Ask("a", FindThinkForm("off"), options);
  options.max_tokens = 10;
  parts.Ask("a", FindThinkForm("off"), options);
  EXPECT_EQ(parts.turns()[0].end, Generation::End::kLength);
  options.max_tokens = 15;
  parts.Continue(options);
  EXPECT_EQ(parts.turns().size(), 1u);
  EXPECT_EQ(parts.turns()[0].answer, whole.turns()[0].answer);
  ExpectSame(*parts.Position(), *whole.Position());
}

TEST_F(ConversationTest, AnInterruptKeepsWhatWasSaid) {
  Conversation conversation = NewConversation();
  Ask(conversation, "a");
  const std::string text = conversation.text();
  std::atomic<bool> interrupted = true;
  GenerateOptions options = Options();
  options.interrupted = &interrupted;
  const std::string long_message(2 * kPrefillRows, 'x');
  EXPECT_FALSE(conversation.Ask(long_message, FindThinkForm("off"), options).has_value());
  EXPECT_EQ(conversation.text(), text);  // it was not read, so it was not said
  interrupted = false;
  std::string seen;
  options.on_text = [&](std::string_view piece) { interrupted = (seen += piece).size() >= 5; };
  const auto result = conversation.Ask("b", FindThinkForm("off"), options);
  EXPECT_EQ(result->end, Generation::End::kInterrupted);
  EXPECT_EQ(conversation.turns()[1].answer, seen);
  ExpectSame(*conversation.Position(), After(conversation.text()), 1e-4f);
}

TEST_F(ConversationTest, ThinkFormsAndSystemTextsAreRead) {
  Conversation conversation(model_, tokenizer_, FindChatTemplate("g1"), "Be brief.");
  conversation.Ask("q", FindThinkForm("short"), Options());
  EXPECT_TRUE(conversation.text().starts_with(
      "System: Be brief.\n\nUser: q (think a bit)\n\nAssistant: <think" + conversation.turns()[0].answer));
  ExpectSame(*conversation.Position(), After(conversation.text()), 1e-4f);
}

TEST_F(ConversationTest, BeginsWithAStateFromAFile) {
  Conversation before = NewConversation("g1");
  Ask(before, "a");
  Conversation after(model_, tokenizer_, FindChatTemplate("g1"), *before.Position());
  Ask(before, "b");
  Ask(after, "b");
  EXPECT_EQ(after.text(), before.turns()[1].prompt + before.turns()[1].answer);
  ExpectSame(*after.Position(), *before.Position());
  Conversation tuned(model_, tokenizer_, FindChatTemplate("g1"), {model_.NewState(1).Save(0), {}, 0});
  Ask(tuned, "a");
  EXPECT_TRUE(tuned.text().starts_with("User: a"));  // nothing to be separated from
}

TEST_F(ConversationTest, JsonBringsItBackWithTheStateOrWithoutIt) {
  Conversation conversation = NewConversation();
  for (const char* message : {"a", "\xC3\xA4", "c"}) Ask(conversation, message);
  const std::string json = conversation.ToJson();
  const auto load = [&](std::optional<Snapshot> position) {
    return Conversation::FromJson(model_, tokenizer_, "file", json, std::move(position));
  };
  Conversation with = load(conversation.Position()), without = load({});
  EXPECT_EQ(with.text(), conversation.text());
  EXPECT_EQ(with.turns()[1].message, "\xC3\xA4");
  ExpectSame(*with.Position(), *conversation.Position());
  ExpectSame(*without.Position(), *conversation.Position(), 1e-4f);
  with.Undo(2);  // read once more
  conversation.Undo(2);
  ExpectSame(*with.Position(), *conversation.Position(), 1e-4f);
  EXPECT_EQ(with.ToJson(), conversation.ToJson());
}

TEST_F(ConversationTest, AConversationThatBeganWithAStateNeedsIt) {
  Conversation conversation(model_, tokenizer_, FindChatTemplate("g1"), After("something"));
  Ask(conversation, "a");
  const std::string json = conversation.ToJson();
  EXPECT_TRUE(Refuses([&] { Conversation::FromJson(model_, tokenizer_, "file", json, {}); },
                      "file: ", "began with a state"));
  Conversation loaded = Conversation::FromJson(model_, tokenizer_, "file", json, conversation.Position());
  EXPECT_TRUE(Refuses([&] { loaded.Undo(1); }, "cannot be taken back"));
  Ask(loaded, "b");
  EXPECT_EQ(loaded.Undo(1), 1);
  ExpectSame(*loaded.Position(), *conversation.Position());
}

TEST_F(ConversationTest, DamagedJsonThrowsErrorOrNothing) {
  Conversation conversation = NewConversation();
  Ask(conversation, "\xC3\xA4 \xFF");
  const std::string sound = conversation.ToJson();
  const auto reads = [&](const std::string& json) {
    try {
      Conversation::FromJson(model_, tokenizer_, "file", json, {});
    } catch (const Error&) {
      return false;
    }
    return true;
  };
  EXPECT_TRUE(reads(sound));
  for (size_t i = 0; i < sound.size(); ++i) {
    EXPECT_FALSE(reads(sound.substr(0, i))) << i;
    for (const unsigned char bits : {0x01, 0x20, 0x80}) {
      std::string changed = sound;
      changed[i] = static_cast<char>(changed[i] ^ bits);
      EXPECT_NO_THROW(reads(changed)) << i;
    }
  }
}

// The fuzzer's seeds and finds.
TEST_F(ConversationTest, TheCorpusIsReadOrRefused) {
  size_t files = 0;
  const std::filesystem::path corpus = LINNET_SOURCE_DIR "/tests/fuzz/corpus/conversation";
  for (const auto& file : std::filesystem::directory_iterator(corpus)) {
    const std::string text = ReadFile(file.path());
    EXPECT_NO_THROW(FuzzConversation(model_, tokenizer_, std::as_bytes(std::span(text))));
    ++files;
  }
  EXPECT_GE(files, 6u);
}

TEST_F(ConversationTest, RefusesWhatIsNoConversation) {
  const auto refuses = [&](const std::string& json, const char* part) {
    return Refuses([&] { Conversation::FromJson(model_, tokenizer_, "file", json, {}); }, "file: ", part);
  };
  const std::string head = R"({"version": 1, "template": "g1", "opening": "", "fresh": true, "turns": )";
  EXPECT_TRUE(refuses("", "holds no conversation"));
  EXPECT_TRUE(refuses("[]", "holds no conversation"));
  EXPECT_TRUE(refuses(R"({"version": 2})", "version 2"));
  EXPECT_TRUE(refuses(R"({"version": 1, "template": "elvish"})", "'elvish'"));
  EXPECT_TRUE(refuses(head + "[3]}", "holds no conversation"));
  EXPECT_TRUE(refuses(head + R"([{"message": {"hex": "0"}}]})", "hexadecimal"));
  EXPECT_TRUE(refuses(head + R"([{"message": "", "prompt": "", "answer": "", "end": "x"}]})", "'x'"));
  Conversation empty = Conversation::FromJson(model_, tokenizer_, "file", head + "[]}", {});
  EXPECT_TRUE(Refuses([&] { empty.Retry(Options()); }, "nothing has been asked"));
  EXPECT_TRUE(Refuses([&] { empty.Continue(Options()); }, "no answer yet"));
}

}  // namespace
}  // namespace linnet

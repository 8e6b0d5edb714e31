#include "serve/variants.h"

#include <gtest/gtest.h>

#include "cli/program.h"
#include "nn/lora.h"
#include "serve/conversation_server.h"
#include "serve/stored_states.h"

namespace linnet {
namespace {

class VariantsTest : public testing::Test {
 protected:
  VariantsTest() {
    const std::string weight = "blocks.0.att.receptance.weight";
    WriteSafetensors(folder_ / "lora.safetensors",
                     {{LoraNameA(weight), Filled({2, 32}, 0.1f)}, {LoraNameB(weight), Filled({32, 2}, 0.2f)}},
                     LoraMetadata(SharedModel(), 2, 4));
    std::vector<NamedTensor> layers;
    for (int layer = 0; layer < 2; ++layer)
      layers.push_back({fmt::format("blocks.{}.att.time_state", layer), Filled({2, 16, 16}, 3)});
    WriteSafetensors(folder_ / "state.safetensors", layers, {});
  }
  std::string Lora(const std::string& name) { return name + "=" + (folder_ / "lora.safetensors").string(); }
  std::string State(const std::string& name) { return name + "=" + (folder_ / "state.safetensors").string(); }
  static std::string Refusal(const std::vector<std::string>& loras, const std::vector<std::string>& states) {
    try {
      const Variants variants(SharedModel(), BytesTokenizer(), loras, states);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  TemporaryFolder folder_;
};

TEST_F(VariantsTest, EachIsLoadedOnceAndShared) {
  const Variants variants(SharedModel(), BytesTokenizer(), {Lora("birds"), Lora("half") + ":0.5"},
                          {State("poems")});
  EXPECT_EQ(variants.lora_names(), (std::vector<std::string>{"birds", "half"}));
  EXPECT_EQ(variants.state_names(), (std::vector<std::string>{"poems"}));
  const Variant a = variants.Of("birds", "poems"), b = variants.Of("birds", "");
  EXPECT_EQ(a.lora_name, "birds");
  EXPECT_EQ(a.state_name, "poems");
  EXPECT_EQ(a.lora, b.lora);
  EXPECT_EQ(a.lora->size(), 1u);
  EXPECT_TRUE(a.state);
  EXPECT_FALSE(b.state);
  EXPECT_NE(variants.Of("half", "").lora, a.lora);
}

TEST_F(VariantsTest, ListsTheKnownOnes) {
  const Variants variants(SharedModel(), BytesTokenizer(), {Lora("birds"), Lora("half")}, {});
  try {
    variants.Of("bird", "");
    ADD_FAILURE();
  } catch (const HttpError& error) {
    EXPECT_EQ(error.status, 400);
    EXPECT_EQ(error.param, "lora");
    EXPECT_STREQ(error.what(), "there is no LoRA 'bird'; this server has birds, half");
  }
  EXPECT_THROW(variants.Of("", "poems"), HttpError);
}

TEST_F(VariantsTest, SaysWhatIsWrongWithAFlag) {
  EXPECT_NE(Refusal({"birds"}, {}).find("--lora birds: has the form NAME=FILE"), std::string::npos);
  EXPECT_NE(Refusal({}, {"=x"}).find("--state =x"), std::string::npos);
  EXPECT_NE(Refusal({Lora("a"), Lora("a")}, {}).find("another LoRA of that name"), std::string::npos);
  EXPECT_NE(Refusal({"a=/no/such/file"}, {}).find("/no/such/file"), std::string::npos);
  EXPECT_NE(Refusal({}, {"a=" + (folder_ / "lora.safetensors").string()}).find("not a state"),
            std::string::npos);
}

/// They change the answer, and a conversation stays with the one it began with.
TEST_F(VariantsTest, AConversationKeepsItsOwn) {
  const auto store = OpenStateStore("", Fingerprint(SharedModel()));
  ConversationServer server(*store, {Lora("birds")}, {State("poems")});
  const auto text = ConversationServer::TextOf;
  const auto exactly = ConversationServer::Exactly;
  const std::string plain = exactly(server.Respond("One?"));
  const Json lora = server.Respond("One?", {{"lora", "birds"}}),
             state = server.Respond("One?", {{"state", "poems"}});
  EXPECT_NE(exactly(lora), plain);
  EXPECT_NE(exactly(state), plain);
  EXPECT_EQ(exactly(server.Respond("One?")), plain);
  for (const Json* first : {&lora, &state}) {
    const Json id = (*first)["id"];
    const char* name = first == &lora ? "lora" : "state";
    const char* value = first == &lora ? "birds" : "poems";
    const Json two = server.Respond("Two?", {{"previous_response_id", id}});
    const Json whole = server.Respond(
        Json::array({Message("user", "One?"), Message("assistant", text(*first)), Message("user", "Two?")}),
        {{name, value}});
    EXPECT_EQ(text(two), text(whole));
    EXPECT_EQ(text(server.Respond("Two?", {{"previous_response_id", id}, {name, value}})), text(two));
    EXPECT_EQ(server.Respond("Two?", {{"previous_response_id", id}, {name, "other"}}, 400)["error"]["param"],
              name);
    EXPECT_EQ(server.Call("GET", "/v1/states/" + id.get<std::string>())[name], value);
  }
  ConversationServer without(*store);
  without.Respond("Two?", {{"previous_response_id", lora["id"]}}, 400);
}

}  // namespace
}  // namespace linnet

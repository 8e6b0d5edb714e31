#include "serve/responses.h"

#include <gtest/gtest.h>

#include "serve/conversation_server.h"
#include "serve/stored_states.h"

namespace linnet {
namespace {

class ResponsesTest : public testing::Test {
 protected:
  static constexpr auto TextOf = ConversationServer::TextOf;

  std::unique_ptr<StateStore> store_ = OpenStateStore("", Fingerprint(SharedModel()));
  ConversationServer server_{*store_};
};

TEST_F(ResponsesTest, ARequestGetsAResponse) {
  const Json response = server_.Respond("What is a state?", {{"metadata", {{"a", "b"}}}});
  EXPECT_TRUE(response["id"].get<std::string>().starts_with("resp_"));
  EXPECT_EQ(response["object"], "response");
  EXPECT_EQ(response["model"], "tiny");
  EXPECT_EQ(response["status"], "incomplete");
  EXPECT_EQ(response["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(response["error"], nullptr);
  EXPECT_EQ(response["previous_response_id"], nullptr);
  EXPECT_EQ(response["metadata"]["a"], "b");
  EXPECT_EQ(response["store"], true);
  ASSERT_EQ(response["output"].size(), 1u);
  const Json& item = response["output"][0];
  EXPECT_EQ(item["type"], "message");
  EXPECT_EQ(item["role"], "assistant");
  EXPECT_EQ(item["content"][0]["type"], "output_text");
  EXPECT_EQ(TextOf(response).size(), 12u);
  const Json& usage = response["usage"];
  EXPECT_EQ(usage["output_tokens"], 12);
  EXPECT_GT(usage["input_tokens"], 16);
  EXPECT_EQ(usage["total_tokens"], usage["input_tokens"].get<int>() + 12);
  EXPECT_EQ(usage["output_tokens_details"]["reasoning_tokens"], 0);
}

TEST_F(ResponsesTest, InputMayBeItems) {
  const Json text = server_.Respond("What?", {{"instructions", "Be short."}});
  const Json parts = Json::array({{{"type", "input_text"}, {"text", "What?"}}});
  const Json items = Json::array({{{"role", "developer"}, {"content", "Be short."}},
                                  {{"type", "message"}, {"role", "user"}, {"content", parts}}});
  EXPECT_EQ(TextOf(server_.Respond(items)), TextOf(text));
  EXPECT_NE(ConversationServer::Exactly(server_.Respond("What?")), ConversationServer::Exactly(text));
}

/// The law of all this: going on by an id is the same as sending all that was said, and reads only what is
/// new.
TEST_F(ResponsesTest, GoesOnByItsId) {
  Json first = server_.Respond("What is a state?", {{"instructions", "You are a songbird."}});
  const Json second = server_.Respond(
      "And then?", {{"previous_response_id", first["id"]}, {"instructions", "You are a songbird."}});
  EXPECT_EQ(second["previous_response_id"], first["id"]);
  const Json whole = server_.Respond(
      Json::array({Message("system", "You are a songbird."), Message("user", "What is a state?"),
                   Message("assistant", TextOf(first)), Message("user", "And then?")}));
  EXPECT_EQ(TextOf(second), TextOf(whole));
  EXPECT_EQ(second["usage"]["input_tokens"], whole["usage"]["input_tokens"]);
  const int before = first["usage"]["total_tokens"].get<int>();
  EXPECT_GE(second["usage"]["input_tokens_details"]["cached_tokens"], before);
  // Both ways of going on leave what they went on from as it was.
  const Json again = server_.Respond("And then?", {{"previous_response_id", first["id"]}});
  EXPECT_EQ(ConversationServer::Exactly(again), ConversationServer::Exactly(second));
}

TEST_F(ResponsesTest, IsTheSameAfterARestart) {
  const Json first = server_.Respond("One?");
  const Json second = server_.Respond("Two?", {{"previous_response_id", first["id"]}});
  ConversationServer other(*store_);
  const Json again = other.Respond("Two?", {{"previous_response_id", first["id"]}});
  EXPECT_EQ(TextOf(again), TextOf(second));
  EXPECT_EQ(again["usage"], second["usage"]);
}

TEST_F(ResponsesTest, CanBeAskedForAgainAndDeleted) {
  const Json first = server_.Respond("One?");
  const std::string path = "/v1/responses/" + first["id"].get<std::string>();
  EXPECT_EQ(server_.Call("GET", path), first);
  const Json items = server_.Call("GET", path + "/input_items");
  ASSERT_EQ(items["data"].size(), 1u);
  EXPECT_EQ(items["data"][0]["role"], "user");
  EXPECT_EQ(items["data"][0]["content"][0]["text"], "One?");
  EXPECT_EQ(items["first_id"], items["data"][0]["id"]);
  EXPECT_EQ(server_.Call("GET", path, Json(), 404, "somebody")["error"]["type"], "not_found_error");
  server_.Call("DELETE", path, Json(), 404, "somebody");
  EXPECT_EQ(server_.Call("DELETE", path)["deleted"], true);
  server_.Call("GET", path, Json(), 404);
  server_.Call("DELETE", path, Json(), 404);
}

TEST_F(ResponsesTest, IsNotStoredUnlessItMayBe) {
  const Json response = server_.Respond("One?", {{"store", false}});
  EXPECT_EQ(response["store"], false);
  server_.Call("GET", "/v1/responses/" + response["id"].get<std::string>(), Json(), 404);
  EXPECT_TRUE(store_->List("", 10).empty());
  const Json error = server_.Respond("Two?", {{"previous_response_id", response["id"]}}, 400);
  EXPECT_EQ(error["error"]["code"], "previous_response_not_found");
  EXPECT_EQ(error["error"]["param"], "previous_response_id");
}

TEST_F(ResponsesTest, Streams) {
  const Json whole = server_.Respond("One?");
  const auto reply =
      server_.Ask("POST", "/v1/responses", ConversationServer::Input("One?", {{"stream", true}}).dump());
  EXPECT_EQ(reply->content_type, "text/event-stream; charset=utf-8");
  std::vector<std::string> types;
  std::string text;
  Json last;
  for (const std::string& piece : reply->pieces) {
    const size_t line = piece.find('\n');
    last = Json::parse(piece.substr(line + std::string("\ndata: ").size()));
    const std::string type = last["type"];
    EXPECT_EQ(piece.substr(0, line), "event: " + type);
    EXPECT_TRUE(piece.ends_with("\n\n"));
    EXPECT_EQ(last["sequence_number"], &piece - reply->pieces.data());
    if (type == "response.output_text.delta") text += last["delta"].get<std::string>();
    if (types.empty() || types.back() != type) types.push_back(type);
  }
  EXPECT_EQ(types,
            (std::vector<std::string>{
                "response.created", "response.in_progress", "response.output_item.added",
                "response.content_part.added", "response.output_text.delta", "response.output_text.done",
                "response.content_part.done", "response.output_item.done", "response.incomplete"}));
  EXPECT_EQ(text, TextOf(whole));
  EXPECT_EQ(TextOf(last["response"]), text);
  EXPECT_EQ(last["response"]["usage"]["output_tokens"], 12);
  EXPECT_EQ(server_.Call("GET", "/v1/responses/" + last["response"]["id"].get<std::string>()),
            last["response"]);
}

TEST_F(ResponsesTest, GivesLogprobsWhenAsked) {
  const Json response =
      server_.Respond("One?", {{"include", {"message.output_text.logprobs"}}, {"top_logprobs", 3}});
  const Json& logprobs = response["output"][0]["content"][0]["logprobs"];
  ASSERT_EQ(logprobs.size(), 12u);
  std::string text;
  for (const Json& entry : logprobs) text += entry["token"].get<std::string>();
  EXPECT_EQ(text, TextOf(response));
  EXPECT_EQ(logprobs[0]["top_logprobs"].size(), 3u);
}

TEST_F(ResponsesTest, RefusesWhatItCannotDo) {
  const std::pair<Json, const char*> cases[] = {
      {{{"tools", {{{"type", "web_search"}}}}}, "tools"},
      {{{"background", true}}, "background"},
      {{{"conversation", "conv_1"}}, "conversation"},
      {{{"include", {"file_search_call.results"}}}, "include"},
      {{{"truncation", "maybe"}}, "truncation"},
      {{{"max_output_tokens", 0}}, "max_output_tokens"},
      {{{"temperature", -1}}, "temperature"},
      {{{"input", Json::array({{{"type", "item_reference"}, {"id", "x"}}})}}, "input[0].type"},
      {{{"input", 5}}, "input"},
      {{{"input", nullptr}}, "input"},
      {{{"lora", "none"}}, "lora"},
      {{{"session", "a b"}}, "session"},
  };
  for (const auto& [more, param] : cases) {
    const Json error = server_.Respond("One?", more, 400);
    EXPECT_EQ(error["error"]["param"], param) << error;
  }
  EXPECT_TRUE(store_->List("", 10).empty());
}

/// A store that fails.
class FailingStore : public StateStore {
 public:
  void Put(const StoredState&, const Snapshot&) override { Fail("the disk is full"); }
  std::optional<StoredState> Find(const std::string&, const std::string&) override { Fail("no disk"); }
  std::optional<Snapshot> Load(const std::string&, const std::string&) override { Fail("no disk"); }
  std::vector<StoredState> List(const std::string&, int) override { Fail("no disk"); }
  bool Remove(const std::string&, const std::string&) override { Fail("no disk"); }
  std::string Session(const std::string&, const std::string&) override { return ""; }
  void SetSession(const std::string&, const std::string&, const std::string&) override { Fail("no disk"); }
};

TEST(FailingStoreTest, AnAnswerSaysThatItWasNotKept) {
  FailingStore store;
  ConversationServer server(store);
  testing::internal::CaptureStderr();
  const Json response = server.Respond("One?");
  EXPECT_NE(testing::internal::GetCapturedStderr().find("was not kept: the disk is full"), std::string::npos);
  EXPECT_EQ(response["store"], false);
  EXPECT_EQ(ConversationServer::TextOf(response).size(), 12u);
  const Json error = server.Respond("Two?", {{"previous_response_id", "resp_1"}}, 503);
  EXPECT_EQ(error["error"]["code"], "store_failed");
  const Json chat = ConversationServer::Request(
      {{"messages", Json::array({Message("user", "One?")})}, {"max_tokens", 4}, {"session", "s"}});
  EXPECT_EQ(server.Post("/v1/chat/completions", chat, 503)["error"]["code"], "store_failed");
  EXPECT_EQ(server.Call("GET", "/v1/states", Json(), 503)["error"]["type"], "server_error");
}

}  // namespace
}  // namespace linnet

#include "serve/states_api.h"

#include <gtest/gtest.h>

#include "cli/program.h"
#include "serve/conversation_server.h"
#include "serve/stored_states.h"

namespace linnet {
namespace {

class StatesApiTest : public testing::Test {
 protected:
  static constexpr auto TextOf = ConversationServer::TextOf;

  /// A turn of a chat in the session "work", unless `more` says otherwise; returns the answer.
  std::string Chat(const Json& messages, Json more = Json::object(), int status = 200) {
    Json body =
        ConversationServer::Request({{"messages", messages}, {"max_tokens", 12}, {"session", "work"}});
    body.update(more);
    usage_ = server_.Post("/v1/chat/completions", body, status);
    if (status != 200) return usage_["error"]["message"];
    const std::string answer = usage_["choices"][0]["message"]["content"];
    usage_ = usage_["usage"];
    return answer;
  }
  std::string Say(const std::string& message) { return Chat(Json::array({Message("user", message)})); }
  static std::string Id(const Json& object) { return object["id"].get<std::string>(); }
  Json State(const std::string& id) { return server_.Call("GET", "/v1/states/" + id); }

  std::unique_ptr<StateStore> store_ = OpenStateStore("", Fingerprint(SharedModel()));
  ConversationServer server_{*store_};
  Json usage_;
};

/// Clients that send only what is new, and those that repeat all, get what they would get without a session.
TEST_F(StatesApiTest, ASessionGoesOn) {
  const Json system = Message("system", "You are a songbird."), one = Message("user", "One?"),
             two = Message("user", "Two?");
  const std::string first = Chat(Json::array({system, one}));
  const Json all = Json::array({system, one, Message("assistant", first), two});
  const std::string without = Chat(all, {{"session", nullptr}});
  const Json whole_usage = usage_;
  EXPECT_EQ(Chat(all), without);
  EXPECT_GE(usage_["prompt_tokens_details"]["cached_tokens"], 30);
  EXPECT_EQ(usage_["prompt_tokens"], whole_usage["prompt_tokens"]);
  for (const Json& messages : {Json::array({two}), Json::array({system, two})}) {
    server_.Post("/v1/states/work/rollback", {{"turns", 1}});
    EXPECT_EQ(Chat(messages), without);
  }
  EXPECT_EQ(State("work")["messages"],
            Json::array({system, one, Message("assistant", first), two, Message("assistant", without)}));
}

TEST_F(StatesApiTest, ASessionStreams) {
  const std::string one = Say("One?"), two = Say("Two?");
  server_.Post("/v1/states/work/rollback", Json::object());
  Json body = ConversationServer::Request({{"messages", Json::array({Message("user", "Two?")})},
                                           {"max_tokens", 12},
                                           {"session", "work"},
                                           {"stream", true}});
  const auto reply = server_.Ask("POST", "/v1/chat/completions", body.dump());
  std::string text;
  for (const std::string& piece : reply->pieces) {
    if (piece == "data: [DONE]\n\n") continue;
    const Json chunk = Json::parse(piece.substr(6));
    for (const Json& choice : chunk["choices"]) text += choice["delta"].value("content", "");
  }
  EXPECT_EQ(text, two);
  EXPECT_EQ(State("work")["messages"].back(), Message("assistant", two));
}

TEST_F(StatesApiTest, SessionsAreRefusedWhatTheyCannotDo) {
  Say("One?");
  Chat(Json::array({Message("user", "Two?")}), {{"n", 2}}, 400);
  Chat(Json::array({Message("user", "Two?")}), {{"session", "state_1"}}, 400);
  Chat(Json::array({Message("user", "Two?")}), {{"session", ""}}, 400);
  Chat(Json::array({Message("user", "Two?")}), {{"lora", "birds"}}, 400);
  const Json known = State("work")["messages"];
  Chat(known, Json::object(), 400);
}

TEST_F(StatesApiTest, Lists) {
  Say("One?");
  const Json response = server_.Respond("Two?");
  const Json list = server_.Call("GET", "/v1/states")["data"];
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0]["id"], response["id"]);
  EXPECT_EQ(list[0]["tokens"], response["usage"]["total_tokens"]);
  EXPECT_EQ(list[0]["session"], nullptr);
  EXPECT_EQ(list[1]["session"], "work");
  EXPECT_FALSE(list[0].contains("messages"));
  EXPECT_EQ(server_.Call("GET", "/v1/states?limit=1")["data"].size(), 1u);
  EXPECT_EQ(server_.Call("GET", "/v1/states", Json(), 200, "somebody")["data"].size(), 0u);
  for (const char* limit : {"0", "x", "-1", "1000000", "1x"})
    server_.Call("GET", std::string("/v1/states?limit=") + limit, Json(), 400);
}

TEST_F(StatesApiTest, RollsBack) {
  const std::string one = Say("One?");
  const std::string first = Id(State("work"));
  Say("Two?");
  Say("Three?");
  EXPECT_EQ(Id(server_.Post("/v1/states/work/rollback", {{"turns", 2}})), first);
  EXPECT_EQ(State("work")["messages"], Json::array({Message("user", "One?"), Message("assistant", one)}));
  const Json error = server_.Post("/v1/states/work/rollback", {{"turns", 1}}, 400);
  EXPECT_EQ(error["error"]["param"], "turns");
  server_.Post("/v1/states/work/rollback", {{"turns", 0}}, 400);
  server_.Post("/v1/states/nothing/rollback", {{"turns", 1}}, 404);
  // A state is not moved; its ancestor is what comes back.
  const Json second = server_.Respond("Two?", {{"previous_response_id", first}});
  EXPECT_EQ(Id(server_.Post("/v1/states/" + Id(second) + "/rollback", {{"turns", 1}})), first);
  EXPECT_EQ(Id(State(Id(second))), Id(second));
}

TEST_F(StatesApiTest, Forks) {
  Say("One?");
  const Json original = State("work");
  const Json fork = server_.Post("/v1/states/work/fork", {{"title", "Other"}, {"session", "other"}});
  EXPECT_NE(fork["id"], original["id"]);
  EXPECT_EQ(fork["title"], "Other");
  EXPECT_EQ(fork["tokens"], original["tokens"]);
  const std::string two = Say("Two?");
  server_.Call("DELETE", "/v1/states/work");
  EXPECT_EQ(Chat(Json::array({Message("user", "Two?")}), {{"session", "other"}}), two);
  EXPECT_EQ(State("other")["messages"].size(), 4u);
}

TEST_F(StatesApiTest, DeletesASessionWithItsTurns) {
  const Json before = server_.Respond("Zero?");
  server_.Post("/v1/states/" + Id(before) + "/fork", {{"session", "work"}});
  Say("One?");
  Say("Two?");
  server_.Call("DELETE", "/v1/states/work", Json(), 404, "somebody");
  EXPECT_EQ(server_.Call("DELETE", "/v1/states/work")["removed"], 3);
  server_.Call("GET", "/v1/states/work", Json(), 404);
  const Json left = server_.Call("GET", "/v1/states")["data"];
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(left[0]["id"], before["id"]);
  EXPECT_EQ(server_.Call("DELETE", "/v1/states/" + Id(before))["removed"], 1);
  server_.Call("DELETE", "/v1/states/" + Id(before), Json(), 404);
}

/// A removed ancestor takes neither the state nor what can be known with it.
TEST_F(StatesApiTest, OutlivesWhatItGoesOnFrom) {
  const Json one = server_.Respond("One?");
  const Json two = server_.Respond("Two?", {{"previous_response_id", one["id"]}});
  const Json three = server_.Respond("Three?", {{"previous_response_id", two["id"]}});
  server_.Call("DELETE", "/v1/responses/" + Id(one));
  const Json again = server_.Respond("Three?", {{"previous_response_id", two["id"]}});
  EXPECT_EQ(TextOf(again), TextOf(three));
  EXPECT_EQ(State(Id(two))["messages"].size(), 2u);
  server_.Post("/v1/states/" + Id(two) + "/rollback", {{"turns", 1}}, 404);
}

TEST_F(StatesApiTest, ExportsAStateFileAndImportsIt) {
  const Json one = server_.Respond("One?");
  const Json two = server_.Respond("Two?", {{"previous_response_id", one["id"]}});
  const auto reply = server_.Ask("GET", "/v1/states/" + Id(one) + "/export");
  ASSERT_EQ(reply->status, 200);
  EXPECT_EQ(reply->content_type, "application/octet-stream");

  const TemporaryFolder folder;
  WriteFile(folder / "state", reply->body);
  const ReadSnapshotResult read = ReadSnapshot(folder / "state", SharedModel(), server_.tokenizer().name());
  EXPECT_EQ(read.warning, "");
  EXPECT_TRUE(Same(read.snapshot, *store_->Load("", Id(one))));

  const auto imported =
      server_.Ask("POST", "/v1/states/import?title=Mine&session=mine", reply->body, "somebody");
  ASSERT_EQ(imported->status, 200) << imported->body;
  const Json head = Json::parse(imported->body);
  EXPECT_EQ(head["title"], "Mine");
  EXPECT_EQ(head["tokens"], one["usage"]["total_tokens"]);
  const Json whole = server_.Call("GET", "/v1/states/mine", Json(), 200, "somebody");
  EXPECT_EQ(whole["messages"], State(Id(one))["messages"]);
  const Json body = ConversationServer::Input("Two?", {{"previous_response_id", head["id"]}});
  EXPECT_EQ(TextOf(server_.Call("POST", "/v1/responses", body, 200, "somebody")), TextOf(two));
}

TEST_F(StatesApiTest, ImportsNothingElse) {
  const auto import = [&](const std::string& bytes) {
    const auto reply = server_.Ask("POST", "/v1/states/import", bytes);
    EXPECT_EQ(reply->status, 400) << reply->body;
    return Json::parse(reply->body)["error"]["message"].get<std::string>();
  };
  EXPECT_NE(import("").find("empty"), std::string::npos);
  const std::string message = import("This is no state, but a text.");
  EXPECT_NE(message.find("the file"), std::string::npos);
  EXPECT_EQ(message.find("/tmp"), std::string::npos) << "shows a path of the server's: " << message;
  const Json one = server_.Respond("One?");
  std::string bytes = server_.Ask("GET", "/v1/states/" + Id(one) + "/export")->body;
  import(bytes.substr(0, bytes.size() - 9));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  bytes.replace(bytes.size() - sizeof nan, sizeof nan, reinterpret_cast<const char*>(&nan), sizeof nan);
  EXPECT_NE(import(bytes).find("no numbers"), std::string::npos);
  EXPECT_EQ(server_.Call("GET", "/v1/states")["data"].size(), 1u);
}

TEST_F(StatesApiTest, SaysWhatIsNotThere) {
  Say("One?");
  for (const char* path : {"/v1/states/work/history", "/v1/states/work/export/more"})
    server_.Call("GET", path, Json(), 404);
  server_.Call("POST", "/v1/states/work", Json::object(), 404);
  server_.Call("DELETE", "/v1/states/work/export", Json(), 404);
}

}  // namespace
}  // namespace linnet

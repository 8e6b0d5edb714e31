// The server on a real port, with handlers of the tests'.
#include "serve/server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <regex>
#include <sstream>
#include <thread>
#include <vector>

#include "cli/program.h"
#include "serve/refused.h"
#include "serve/socket_client.h"
#include "serve/static_files.h"

namespace linnet {
namespace {

using namespace std::chrono_literals;
using ReplyPointer = std::shared_ptr<HttpReply>;

constexpr WebAsset kFiles[] = {{"/app.js", "text/javascript", "\"e1\"", "let a;", ""},
                               {"/index.html", "text/html; charset=utf-8", "\"e2\"", "<p>page", "GZ"}};

class ServerTest : public testing::Test {
 protected:
  ServerTest() { Start({}); }

  void Start(Server::Options options, Router::Options routing = {}) {
    options.port = 0;
    server_ = std::make_unique<Server>(std::move(options), std::move(routing));
    std::vector<HttpRoute> routes = StaticRoutes(kFiles);
    const auto add = [&](const char* method, const char* path, HttpHandler handler) {
      routes.push_back({method, path, std::move(handler)});
    };
    add("POST", "/echo", [](const HttpRequest& request, const ReplyPointer& reply) {
      reply->Send(200, "text/plain", request.body);
    });
    add("GET", "/stream", [](const HttpRequest&, const ReplyPointer& reply) {
      reply->Begin(200, "text/event-stream");
      for (const char* piece : {"one", "", "three"}) reply->Write(piece);
      reply->End();
    });
    add("GET", "/keep", [this](const HttpRequest&, const ReplyPointer& reply) {
      reply->OnGone([this] { ++gone_; });
      kept_ = reply;
      ++arrived_;
    });
    add("GET", "/drop", [](const HttpRequest&, const ReplyPointer&) {});
    add("GET", "/throw", [](const HttpRequest&, const ReplyPointer&) { throw std::runtime_error("broken"); });
    server_->Start(std::move(routes));
  }
  void TearDown() override { kept_.reset(); }

  /// Says it on a connection of its own, which is closed after the reply.
  std::string Say(const std::string& request) {
    SocketClient client(server_->port());
    client.Say(request);
    return client.ReadAll();
  }
  std::string Get(const std::string& path, const std::string& headers = "", const char* method = "GET") {
    return Say(std::string(method) + " " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" +
               headers + "\r\n");
  }
  static bool Within(std::chrono::milliseconds limit, const std::function<bool()>& holds) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!holds() && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(5ms);
    return holds();
  }

  std::atomic<int> gone_ = 0, arrived_ = 0;
  ReplyPointer kept_;
  std::unique_ptr<Server> server_;
};

bool Has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
std::string Body(const std::string& reply) { return reply.substr(reply.find("\r\n\r\n") + 4); }

TEST_F(ServerTest, KeepsAConnectionForSeveralRequests) {
  SocketClient client(server_->port());
  for (int i = 0; i < 3; ++i) {
    client.Say("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello");
    const std::string head = client.ReadTo("\r\n\r\n");
    EXPECT_TRUE(Has(head, "HTTP/1.1 200 OK\r\n")) << head;
    EXPECT_TRUE(Has(head, "Content-Length: 5\r\n"));
    EXPECT_TRUE(Has(head, "Connection: keep-alive\r\n"));
    EXPECT_TRUE(Has(head, "x-request-id: req_"));
    EXPECT_EQ(client.ReadBytes(5), "hello");
  }
}

TEST_F(ServerTest, AnswersRequestsThatComeAtOnceInTheirOrder) {
  SocketClient client(server_->port());
  client.Say(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\none"
      "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n"
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
      "2\r\nth\r\n3\r\nree\r\n0\r\n\r\n");
  const std::string all = client.ReadAll();
  EXPECT_TRUE(Has(all, "one")) << all;
  EXPECT_TRUE(Has(all, "3\r\none\r\n5\r\nthree\r\n0\r\n\r\n")) << all;
  EXPECT_TRUE(all.ends_with("\r\n\r\nthree")) << all;
}

TEST_F(ServerTest, AnOldClientGetsAStreamWithoutChunks) {
  const std::string reply = Say("GET /stream HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(Has(reply, "Connection: close\r\n"));
  EXPECT_EQ(Body(reply), "onethree");
}

TEST_F(ServerTest, HeadHasNoBody) {
  const std::string reply = Get("/app.js", "", "HEAD");
  EXPECT_TRUE(Has(reply, "Content-Length: 6\r\n")) << reply;
  EXPECT_EQ(Body(reply), "");
  EXPECT_TRUE(Has(Get("/app.js", "", "OPTIONS"), "Allow: GET, HEAD, OPTIONS\r\n"));
  EXPECT_TRUE(Get("/app.js", "", "PUT").starts_with("HTTP/1.1 405 "));
  EXPECT_TRUE(Get("/nowhere").starts_with("HTTP/1.1 404 "));
}

TEST_F(ServerTest, ServesFilesOfItsTableOnly) {
  EXPECT_EQ(Body(Get("/app.js")), "let a;");
  EXPECT_TRUE(Get("/app.js", "If-None-Match: \"e1\"\r\n").starts_with("HTTP/1.1 304 "));
  for (const char* path :
       {"/../app.js", "/%2e%2e/etc/passwd", "/app.js/", "//app.js", "/..%2f..%2fetc/passwd"})
    EXPECT_TRUE(Get(path).starts_with("HTTP/1.1 404 ")) << path;
  EXPECT_EQ(Body(Get("/")), "Ollama is running");
  EXPECT_EQ(Body(Get("/", "Accept: text/html\r\n")), "<p>page");
  const std::string packed = Get("/", "Accept: text/html\r\nAccept-Encoding: gzip\r\n");
  EXPECT_EQ(Body(packed), "GZ");
  EXPECT_TRUE(Has(packed, "Content-Encoding: gzip\r\n"));
  EXPECT_TRUE(Has(packed, "Content-Security-Policy: "));
}

TEST_F(ServerTest, AFailedHandlerIsNotTheEnd) {
  EXPECT_TRUE(Get("/throw").starts_with("HTTP/1.1 500 "));
  EXPECT_TRUE(Get("/drop").starts_with("HTTP/1.1 500 "));
  EXPECT_EQ(Body(Get("/app.js")), "let a;");
}

TEST_F(ServerTest, RequestIdsAreTheClientsIfTheyAreHarmless) {
  EXPECT_TRUE(Has(Get("/app.js", "X-Request-Id: mine-1\r\n"), "x-request-id: mine-1\r\n"));
  EXPECT_TRUE(Has(Get("/app.js", "X-Request-Id: <mine>\r\n"), "x-request-id: req_"));
}

TEST_F(ServerTest, RefusesWhatIsTooLong) {
  Start({.max_header_bytes = 1000, .max_body_bytes = 1000});
  EXPECT_TRUE(Get("/app.js", "X: " + std::string(2000, 'x') + "\r\n").starts_with("HTTP/1.1 431 "));
  const auto post = [&](size_t bytes) {
    return Say("POST /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: " +
               std::to_string(bytes) + "\r\n\r\n" + std::string(bytes, 'b'));
  };
  EXPECT_TRUE(post(1000).starts_with("HTTP/1.1 200 "));
  EXPECT_TRUE(post(1001).starts_with("HTTP/1.1 413 "));
  const std::string chunked =
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" +
      std::string(2000, 'b') + "\r\n0\r\n\r\n";
  EXPECT_TRUE(Say(chunked).starts_with("HTTP/1.1 413 "));
}

TEST_F(ServerTest, RefusesWhatIsNoHttp) {
  EXPECT_TRUE(Say("Hello, server!\r\n\r\n").starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(Say("GET /% HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 400 "));
}

TEST_F(ServerTest, ClosesOnSlowClients) {
  Start({.header_timeout = 100ms, .idle_timeout = 100ms, .body_timeout = 100ms});
  EXPECT_EQ(Say("GET /app.js HT"), "");  // and waits for its end
  EXPECT_EQ(Say("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nslow"), "");
  SocketClient client(server_->port());
  client.Say("GET /app.js HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(Has(client.ReadAll(), "let a;"));  // and is closed for want of another request
}

TEST_F(ServerTest, NoticesAClientThatGoes) {
  SocketClient client(server_->port());
  client.Say("GET /keep HTTP/1.1\r\nHost: localhost\r\n\r\n");
  ASSERT_TRUE(Within(5s, [&] { return arrived_ == 1; }));
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(gone_, 0);
  client.Close();
  EXPECT_TRUE(Within(5s, [&] { return gone_ == 1; }));
  EXPECT_EQ(server_->Figures().gone, 1);
  kept_->Send(200, "text/plain", "too late");
  std::atomic<bool> told = false;
  kept_->OnGone([&] { told = true; });
  EXPECT_TRUE(told);
}

TEST_F(ServerTest, AClientThatDoesNotReadIsLetGo) {
  Start({.max_unread_bytes = 1 << 20});
  SocketClient client(server_->port());
  client.Say("GET /keep HTTP/1.1\r\nHost: localhost\r\n\r\n");
  ASSERT_TRUE(Within(5s, [&] { return arrived_ == 1; }));
  kept_->Begin(200, "text/plain");
  const std::string piece(64 << 10, 'x');
  for (int i = 0; i < 1000 && gone_ == 0; ++i) {
    kept_->Write(piece);
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_EQ(gone_, 1);
}

/// What a socket does not take at once follows in its order, whatever else comes meanwhile.
TEST_F(ServerTest, AClientThatReadsLateGetsAllOfAStream) {
  Start({.max_unread_bytes = 64 << 20});
  SocketClient client(server_->port());
  client.Say("GET /keep HTTP/1.0\r\nHost: localhost\r\n\r\n");  // which has no chunks
  ASSERT_TRUE(Within(5s, [&] { return arrived_ == 1; }));
  kept_->Begin(200, "text/plain");
  std::string expected, reply;
  std::thread reader;
  for (int i = 0; i < 3000; ++i) {
    const std::string piece = std::to_string(i) + std::string(10'000, 'x');
    expected += piece;
    kept_->Write(piece);
    if (i == 1500) reader = std::thread([&] { reply = client.ReadAll(); });
  }
  kept_->End();
  reader.join();
  EXPECT_TRUE(Body(reply) == expected) << Body(reply).size() << " of " << expected.size() << " bytes";
  EXPECT_EQ(gone_, 0);
}

TEST_F(ServerTest, DrainsBeforeItStops) {
  SocketClient running(server_->port()), idle(server_->port());
  running.Say("GET /keep HTTP/1.1\r\nHost: localhost\r\n\r\n");
  ASSERT_TRUE(Within(5s, [&] { return arrived_ == 1; }));
  server_->Drain();
  EXPECT_EQ(idle.ReadAll(), "");
  std::thread stop([&] { server_->Stop(10s); });
  std::this_thread::sleep_for(20ms);
  kept_->Send(200, "text/plain", "done");
  const std::string reply = running.ReadAll();
  EXPECT_TRUE(Has(reply, "Connection: close\r\n")) << reply;
  EXPECT_EQ(Body(reply), "done");
  stop.join();
}

TEST_F(ServerTest, LogsWhatBecameOfEachRequest) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "access.log";
  Start({.access_log = path.string()});
  Say("POST /echo?key=secret HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\r\nConnection: "
      "close\r\nContent-Length: 6\r\n\r\nsecret");
  const std::string streamed = Get("/stream");
  Get("/no%0awhere%20at");
  {
    SocketClient client(server_->port());
    client.Say("GET /keep HTTP/1.1\r\nHost: localhost\r\n\r\n");
    ASSERT_TRUE(Within(5s, [&] { return arrived_ == 1; }));
    kept_->CountTokens(7, 3);
  }
  ASSERT_TRUE(Within(5s, [&] { return gone_ == 1; }));
  server_->Stop(1s);
  const std::string log = ReadFile(path);
  EXPECT_FALSE(Has(log, "secret")) << log;
  std::vector<std::string> lines;
  std::istringstream text(log);
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  ASSERT_EQ(lines.size(), 4u) << log;
  const auto fits = [&](size_t line, const std::string& form) {
    return std::regex_match(lines[line], std::regex(R"(20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z )" + form));
  };
  EXPECT_TRUE(fits(0, R"(POST /echo 200 \d+ \d+\.\d{3} 0 0)")) << lines[0];
  EXPECT_TRUE(fits(1, fmt::format(R"(GET /stream 200 {} \d+\.\d{{3}} 0 0)", streamed.size()))) << lines[1];
  EXPECT_TRUE(fits(2, R"(GET /no%0Awhere%20at 404 \d+ \d+\.\d{3} 0 0)")) << lines[2];
  EXPECT_TRUE(fits(3, R"(GET /keep 499 0 \d+\.\d{3} 7 3)")) << lines[3];
  EXPECT_THROW(Start({.access_log = "/no/such/folder/log"}), Error);
}

TEST_F(ServerTest, KeepsAThousandConnections) {
  std::vector<std::unique_ptr<SocketClient>> clients;
  for (int i = 0; i < 1000; ++i) clients.push_back(std::make_unique<SocketClient>(server_->port()));
  for (const auto& client : clients) client->Say("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
  for (const auto& client : clients) EXPECT_TRUE(Has(client->ReadTo("0\r\n\r\n"), "three"));
  EXPECT_EQ(server_->Figures().open_connections, 1000);
}

TEST_F(ServerTest, OnlyWithAKeyIsItReachableFromElsewhere) {
  EXPECT_THROW(Start({.host = "0.0.0.0"}), Error);
  Router::Options routing;
  routing.keys.Add("secret-one");
  Start({.host = "0.0.0.0"}, routing);
  EXPECT_TRUE(Get("/stream").starts_with("HTTP/1.1 401 "));
  const std::string with_key = Get("/stream", "Authorization: Bearer secret-one\r\n");
  EXPECT_TRUE(with_key.starts_with("HTTP/1.1 200 "));
  EXPECT_EQ(Body(Get("/app.js")), "let a;");  // files are open: the page asks for the key
  EXPECT_THROW(Start({.host = "no such host"}), Error);
}

}  // namespace
}  // namespace linnet

#include "serve/router.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "serve/engine.h"
#include "serve/fake_reply.h"
#include "serve/refused.h"

namespace linnet {
namespace {

void Nothing(const HttpRequest&, const std::shared_ptr<HttpReply>&) {}

Router MakeRouter(Router::Options options = {}) {
  return {std::move(options),
          {{"GET", "/health", Nothing, true},
           {"GET", "/models", Nothing},
           {"GET", "/models/*", Nothing},
           {"POST", "/models/pull", Nothing}}};
}

HttpRequest Request(const std::string& method, const std::string& path,
                    std::map<std::string, std::string> headers = {}) {
  HttpRequest request;
  request.method = method;
  request.path = path;
  request.headers = std::move(headers);
  return request;
}

/// The path of the route that is found.
std::string Found(const Router& router, HttpRequest request) { return router.Find(request).path; }

TEST(RouterTest, FindsTheRouteThatSaysMost) {
  const Router router = MakeRouter();
  EXPECT_EQ(Found(router, Request("GET", "/models")), "/models");
  EXPECT_EQ(Found(router, Request("HEAD", "/models")), "/models");
  EXPECT_EQ(Found(router, Request("GET", "/models/a/b")), "/models/*");
  EXPECT_EQ(Found(router, Request("POST", "/models/pull")), "/models/pull");
  EXPECT_TRUE(Refuses(404, "", [&] { Found(router, Request("GET", "/nothing")); }));
  EXPECT_TRUE(Refuses(404, "", [&] { Found(router, Request("GET", "/models/")); }));
  EXPECT_TRUE(Refuses(405, "", [&] { Found(router, Request("POST", "/models")); }));
  try {
    Found(router, Request("DELETE", "/models"));
  } catch (const HttpError& error) {
    EXPECT_EQ(error.headers, (HttpHeaders{{"Allow", "GET, HEAD, OPTIONS"}}));
  }
  EXPECT_EQ(router.OptionsOf("/models/pull"), (HttpHeaders{{"Allow", "GET, HEAD, OPTIONS, POST"}}));
  EXPECT_TRUE(Refuses(404, "", [&] { router.OptionsOf("/nothing"); }));
}

TEST(RouterTest, AsksForKeys) {
  Router::Options options;
  options.keys.Add("secret-one");
  options.keys.Add("secret-two");
  const Router router = MakeRouter(std::move(options));
  const auto with = [](const std::string& value) {
    return Request("GET", "/models", {{"authorization", value}});
  };
  for (const char* wrong : {"", "secret-one", "Bearer", "Bearer ", "Bearer secret-on", "Bearer secret-one!",
                            "Basic secret-one"}) {
    EXPECT_TRUE(Refuses(401, "", [&] { Found(router, with(wrong)); })) << wrong;
  }
  HttpRequest one = with("Bearer secret-one"), two = with("bearer  secret-two ");
  router.Find(one);
  router.Find(two);
  EXPECT_EQ(one.client.size(), 32u);
  EXPECT_NE(one.client, two.client);
  EXPECT_EQ(Found(router, Request("GET", "/health")), "/health");
  // Whoever has no key does not learn what there is.
  EXPECT_TRUE(Refuses(401, "", [&] { Found(router, Request("GET", "/nothing")); }));
}

TEST(RouterTest, KeepsOtherSitesPagesOut) {
  Router::Options options;
  options.local_names_only = true;
  options.cors = {"https://friend.org"};
  const Router router = MakeRouter(options);
  const auto post = [](const std::string& host, const std::string& origin) {
    return Request("POST", "/models/pull", {{"host", host}, {"origin", origin}});
  };
  for (const char* host : {"127.0.0.1:8080", "localhost:8080", "[::1]:8080", "upstream", "a.localhost"}) {
    EXPECT_EQ(Found(router, post(host, "")), "/models/pull") << host;
    EXPECT_EQ(Found(router, post(host, std::string("http://") + host)), "/models/pull") << host;
    EXPECT_TRUE(Refuses(403, "", [&] { Found(router, post(host, "https://evil.org")); }));
    EXPECT_EQ(Found(router, post(host, "https://friend.org")), "/models/pull");
  }
  EXPECT_TRUE(Refuses(403, "", [&] { Found(router, post("evil.org:8080", "http://evil.org:8080")); }));
  options.keys.Add("secret-one");  // whoever has it may come from anywhere
  const Router guarded = MakeRouter(options);
  HttpRequest request = post("linnet.example.org", "https://other.org");
  request.headers["authorization"] = "Bearer secret-one";
  EXPECT_EQ(Found(guarded, request), "/models/pull");
}

TEST(RouterTest, CorsIsForThoseWhoAreNamed) {
  const auto allowed = [](std::vector<std::string> cors, const std::string& origin) -> std::string {
    Router::Options options;
    options.cors = std::move(cors);
    for (const auto& [name, value] :
         MakeRouter(options).CommonHeaders(Request("GET", "/models", {{"origin", origin}}))) {
      if (name == "Access-Control-Allow-Origin") return value;
    }
    return "";
  };
  EXPECT_EQ(allowed({}, "https://a.org"), "");
  EXPECT_EQ(allowed({"https://a.org", "https://b.org"}, "https://b.org"), "https://b.org");
  EXPECT_EQ(allowed({"https://a.org"}, "https://b.org"), "");
  EXPECT_EQ(allowed({"*"}, "https://b.org"), "*");
}

TEST(RouterTest, WhateverAHandlerThrowsBecomesAReply) {
  const auto status_of = [](const HttpHandler& handler) {
    const auto reply = std::make_shared<FakeReply>();
    Router::Answer({"GET", "/", handler}, {}, reply);
    return reply->status;
  };
  EXPECT_EQ(status_of([](const auto&, const auto&) { throw HttpError(418, "tea"); }), 418);
  EXPECT_EQ(status_of([](const auto&, const auto&) { throw Error("wrong"); }), 400);
  EXPECT_EQ(status_of([](const auto&, const auto&) { throw Draining("about to end"); }), 503);
  EXPECT_EQ(status_of([](const auto&, const auto&) { throw std::bad_alloc(); }), 500);
}

TEST(TargetTest, IsDecoded) {
  HttpRequest request;
  SetTarget(request, "/a%20b/..%2fc?x=1+2&y=%26&z&=w#frag");
  EXPECT_EQ(request.path, "/a b/../c");
  EXPECT_EQ(request.query,
            (std::map<std::string, std::string>{{"x", "1 2"}, {"y", "&"}, {"z", ""}, {"", "w"}}));
  SetTarget(request, "http://host:80/path");
  EXPECT_EQ(request.path, "/path");
  for (const char* bad : {"/%", "/%4", "/%zz", "/%00"}) {
    EXPECT_TRUE(Refuses(400, "", [&] { SetTarget(request, bad); })) << bad;
  }
}

TEST(ApiKeysTest, ReadsAFile) {
  const std::filesystem::path path = testing::TempDir() + "linnet_api_keys_test";
  WriteFile(path, "# keys\n\n  key-number-one \r\nkey-number-two\n");
  const ApiKeys keys = ApiKeys::Read(path);
  EXPECT_TRUE(keys.ClientOf("Bearer key-number-one"));
  EXPECT_TRUE(keys.ClientOf("Bearer key-number-two"));
  EXPECT_FALSE(keys.ClientOf("Bearer # keys"));
  const auto error_of = [&](const char* text) -> std::string {
    WriteFile(path, text);
    try {
      ApiKeys::Read(path);
      return "";
    } catch (const Error& error) {
      return error.what();
    }
  };
  EXPECT_NE(error_of("# none\n").find("no API key"), std::string::npos);
  EXPECT_NE(error_of("\nshort\n").find("line 2"), std::string::npos);
  EXPECT_EQ(error_of("\nshort\n").find("short"), std::string::npos);  // never a key in a message
  EXPECT_NE(error_of("key with blanks\n").find("line 1"), std::string::npos);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace linnet

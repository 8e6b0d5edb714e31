#include "serve/runs_api.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "serve/fake_reply.h"
#include "serve/json.h"
#include "serve/router.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

class RunsApiTest : public testing::Test {
 protected:
  RunsApiTest() : folder_(fs::path(testing::TempDir()) / fmt::format("runs-{}", getpid())) {
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "out");
  }
  ~RunsApiTest() override { fs::remove_all(folder_); }

  void Write(const std::string& name, const std::string& text, std::ios::openmode mode = std::ios::out) {
    const fs::path path = folder_ / "out" / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path, mode) << text;
  }
  std::shared_ptr<FakeReply> Get(const std::string& target) {
    HttpRequest request;
    request.method = "GET";
    SetTarget(request, target);
    const Router router({}, RunRoutes(folder_ / "out"));
    auto reply = std::make_shared<FakeReply>();
    Router::Answer(router.Find(request), request, reply);
    return reply;
  }
  static std::string HeaderOf(const FakeReply& reply, const std::string& name) {
    for (const auto& [header, value] : reply.headers) {
      if (header == name) return value;
    }
    return "";
  }

  fs::path folder_;
};

TEST_F(RunsApiTest, ListsTheRunsOfAFolder) {
  Write("log.jsonl", "{}\n");
  Write("first/log.jsonl", "{}\n");
  Write("deep/er/log.jsonl", "{}\n");
  Write("too/deep/to/log.jsonl", "{}\n");
  Write("too/deep/to/be/log.jsonl", "{}\n");
  Write(".hidden/log.jsonl", "{}\n");
  Write("no/other.jsonl", "{}\n");
  fs::create_directories(folder_ / "elsewhere");
  std::ofstream(folder_ / "elsewhere/log.jsonl") << "secret\n";
  fs::create_directory_symlink(folder_ / "elsewhere", folder_ / "out/link");
  const auto later = fs::last_write_time(folder_ / "out/first/log.jsonl") + std::chrono::hours(1);
  fs::last_write_time(folder_ / "out/first/log.jsonl", later);
  const Json list = Json::parse(Get("/v1/runs")->body);
  std::vector<std::string> names;
  for (const Json& run : list["data"]) names.push_back(run["name"]);
  ASSERT_FALSE(names.empty());
  EXPECT_EQ(names.front(), "first");
  std::ranges::sort(names);
  EXPECT_EQ(names, (std::vector<std::string>{".", "deep/er", "first", "too/deep/to"}));
}

TEST_F(RunsApiTest, ALogIsReadAsItGrows) {
  Write("a/b/log.jsonl", "{\"step\":0}\n{\"step\":1}\n{\"st");
  const auto first = Get("/v1/runs/a%2Fb/log");
  EXPECT_EQ(first->status, 200);
  EXPECT_EQ(first->body, "{\"step\":0}\n{\"step\":1}\n");
  EXPECT_EQ(HeaderOf(*first, "x-log-bytes"), "26");
  Write("a/b/log.jsonl", "ep\":2}\n", std::ios::app);
  const auto second = Get("/v1/runs/a%2Fb/log?from=22");
  EXPECT_EQ(second->body, "{\"step\":2}\n");
  EXPECT_EQ(HeaderOf(*second, "x-log-file"), HeaderOf(*first, "x-log-file"));
  EXPECT_EQ(Get("/v1/runs/a%2Fb/log?from=33")->body, "");
  EXPECT_EQ(Get("/v1/runs/a%2Fb/log?from=1000")->body, "");
  // A run that goes on from an older checkpoint puts another file in its place.
  Write("a/b/other", "{\"step\":0}\n");
  fs::rename(folder_ / "out/a/b/other", folder_ / "out/a/b/log.jsonl");
  EXPECT_NE(HeaderOf(*Get("/v1/runs/a%2Fb/log?from=33"), "x-log-file"), HeaderOf(*first, "x-log-file"));
}

TEST_F(RunsApiTest, ALongLogComesInPieces) {
  const std::string line = "{\"step\":" + std::string(1000, '1') + "}\n";
  std::string all;
  for (int i = 0; i < 2000; ++i) all += line;
  Write("long/log.jsonl", all);
  std::string read;
  for (int i = 0; i < 10 && read.size() < all.size(); ++i) {
    const auto reply = Get(fmt::format("/v1/runs/long/log?from={}", read.size()));
    EXPECT_LE(reply->body.size(), size_t{1} << 20);
    EXPECT_TRUE(reply->body.ends_with('\n'));
    read += reply->body;
  }
  EXPECT_EQ(read, all);
}

TEST_F(RunsApiTest, NothingOutsideTheFolderIsRead) {
  Write("run/log.jsonl", "{}\n");
  std::ofstream(folder_ / "log.jsonl") << "secret\n";
  std::ofstream(folder_ / "secret.txt") << "secret\n";
  fs::create_directory(folder_ / "elsewhere");
  std::ofstream(folder_ / "elsewhere/log.jsonl") << "secret\n";
  fs::create_directory_symlink(folder_ / "elsewhere", folder_ / "out/link");
  fs::create_directory(folder_ / "out/linked");
  fs::create_symlink(folder_ / "secret.txt", folder_ / "out/linked/log.jsonl");
  Write(".hidden/log.jsonl", "secret\n");
  const std::string absolute = (folder_ / "elsewhere").string();
  for (const std::string& name :
       {std::string(".."), std::string("run/../.."), std::string("%2e%2e"), std::string("run%2F..%2F.."),
        std::string("link"), std::string("linked"), std::string(".hidden"), std::string("none"),
        std::string(""), std::string("%2F"), absolute, std::string("./run"), std::string("run/")}) {
    const auto reply = Get("/v1/runs/" + name + "/log");
    EXPECT_GE(reply->status, 400) << name;
    EXPECT_EQ(reply->body.find("secret\n"), std::string::npos) << name;
  }
  EXPECT_EQ(Get("/v1/runs/run/log")->body, "{}\n");
  EXPECT_EQ(Get("/v1/runs/run/log?from=-1")->status, 400);
  EXPECT_EQ(Get("/v1/runs/run/log?from=x")->status, 400);
  EXPECT_EQ(Get("/v1/runs/run")->status, 404);
}

TEST_F(RunsApiTest, AFolderThatIsNoneIsRefused) { EXPECT_THROW(RunRoutes(folder_ / "nowhere"), Error); }

}  // namespace
}  // namespace linnet

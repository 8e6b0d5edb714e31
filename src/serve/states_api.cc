#include "serve/states_api.h"

#include <stdlib.h>

#include <charconv>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/sha256.h"
#include "serve/openai_json.h"
#include "serve/snapshot_bytes.h"

namespace linnet {
namespace {

constexpr int kListed = 100, kMostListed = 10'000;
constexpr int64_t kMostTurns = 1'000'000;
constexpr size_t kLongestTitle = 1000;
constexpr std::string_view kFolder = "/states/";

/// What a path has after "/states/": "ID" or "ID/fork".
struct Target {
  std::string id, action;
};

Target TargetOf(const HttpRequest& request) {
  const std::string rest = request.path.substr(request.path.find(kFolder) + kFolder.size());
  const size_t slash = rest.rfind('/');
  if (slash == std::string::npos) return {rest, ""};
  return {rest.substr(0, slash), rest.substr(slash + 1)};
}

[[noreturn]] void NothingThere(const HttpRequest& request) {
  throw HttpError(404, fmt::format("there is nothing at '{}'", request.path));
}

Json HeadJson(const StoredState& stored) {
  const auto or_null = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  const Json variant = Json::parse(stored.variant, nullptr, false);
  const auto named = [&](const char* name) {
    return or_null(variant.is_object() ? variant.value(name, "") : "");
  };
  return {{"id", stored.id},
          {"object", "state"},
          {"created_at", stored.created},
          {"tokens", stored.tokens},
          {"bytes", stored.bytes},
          {"title", or_null(stored.title)},
          {"parent", or_null(stored.parent)},
          {"session", or_null(stored.session)},
          {"lora", named("lora")},
          {"state", named("state")}};
}

Json WholeJson(Conversations& conversations, const StoredState& stored) {
  Json whole = HeadJson(stored);
  whole["messages"] = conversations.Messages(stored);
  return whole;
}

/// A file that goes with the object.
class ScratchFile {
 public:
  ScratchFile() {
    std::string pattern = std::filesystem::temp_directory_path() / "linnet-state.XXXXXX";
    Check(mkdtemp(pattern.data()) != nullptr, "{}: cannot be made: is the disk full?", pattern);
    folder_ = pattern;
  }
  ~ScratchFile() {
    std::error_code error;
    std::filesystem::remove_all(folder_, error);
  }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  std::filesystem::path path() const { return folder_ / "state.safetensors"; }

 private:
  std::filesystem::path folder_;
};

std::string Title(const std::string& title) {
  if (title.size() > kLongestTitle)
    throw HttpError(400, fmt::format("'title' is longer than {} bytes", kLongestTitle), "title");
  return title;
}

class StatesApi {
 public:
  StatesApi(const Served& served, Conversations& conversations)
      : served_(served), conversations_(conversations) {}

  void List(const HttpRequest& request, HttpReply& reply) const {
    int limit = kListed;
    if (const auto given = request.query.find("limit"); given != request.query.end()) {
      const std::string& text = given->second;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), limit);
      if (error != std::errc() || end != text.data() + text.size() || limit < 1 || limit > kMostListed)
        throw HttpError(400, fmt::format("'limit' must be a number from 1 to {}", kMostListed), "limit");
    }
    Json data = Json::array();
    for (const StoredState& stored : conversations_.List(request.client, limit))
      data.push_back(HeadJson(stored));
    SendJson(reply, {{"object", "list"}, {"data", std::move(data)}});
  }

  void Get(const HttpRequest& request, HttpReply& reply) const {
    const auto [id, action] = TargetOf(request);
    if (action == "export") return Export(request.client, id, reply);
    if (!action.empty()) NothingThere(request);
    SendJson(reply, WholeJson(conversations_, conversations_.Find(request.client, id)));
  }

  void Post(const HttpRequest& request, HttpReply& reply) const {
    const auto [id, action] = TargetOf(request);
    if (id == "import" && action.empty()) return Import(request, reply);
    if (action != "fork" && action != "rollback") NothingThere(request);
    const StoredState stored = conversations_.Find(request.client, id);
    const Json body = request.body.empty() ? Json::object() : ParseBody(request.body);
    if (action == "fork") return Fork(stored, Fields(body), reply);
    Rollback(stored, id, Fields(body), reply);
  }

  /// A session goes with all the turns that were made in it, a state by itself.
  void Delete(const HttpRequest& request, HttpReply& reply) const {
    const auto [id, action] = TargetOf(request);
    if (!action.empty()) NothingThere(request);
    StoredState stored = conversations_.Find(request.client, id);
    int removed = 1;
    if (stored.id != id) {
      conversations_.SetSession(request.client, id, "");
      removed = RemoveTurns(stored, id);
    } else {
      conversations_.Remove(stored);
    }
    SendJson(reply, {{"id", id}, {"object", "state"}, {"deleted", true}, {"removed", removed}});
  }

 private:
  int RemoveTurns(StoredState stored, const std::string& session) const {
    for (int removed = 0;; ++removed) {
      if (stored.session != session) return removed;
      std::optional<StoredState> before;
      if (!stored.parent.empty()) before = conversations_.FindIfAny(stored.client, stored.parent);
      conversations_.Remove(stored);
      if (!before) return removed + 1;
      stored = std::move(*before);
    }
  }

  void Export(const std::string& client, const std::string& id, HttpReply& reply) const {
    const StoredState stored = conversations_.Find(client, id);
    const ScratchFile file;
    WriteSnapshot(file.path(), served_.engine->model(), served_.tokenizer->name(),
                  *conversations_.Load(stored),
                  {{"title", stored.title}, {"messages", Dump(conversations_.Messages(stored))}});
    reply.Send(200, "application/octet-stream", ReadFile(file.path()),
               {{"Content-Disposition", fmt::format("attachment; filename=\"{}.safetensors\"", stored.id)}});
  }

  void Import(const HttpRequest& request, HttpReply& reply) const {
    const auto query = [&](const char* name) {
      const auto given = request.query.find(name);
      return given == request.query.end() ? std::string() : given->second;
    };
    StoredState stored;
    stored.id = NewId("state_");
    stored.client = request.client;
    stored.title = Title(query("title"));
    stored.session = query("session");
    if (!stored.session.empty())
      conversations_.FindSession(request.client, Fields(Json{{"session", stored.session}}));
    std::string warning;
    const auto snapshot = std::make_shared<const Snapshot>(Read(request.body, stored, warning));
    stored.created = UnixTime();
    stored.variant = Dump({{"lora", ""}, {"state", ""}});
    stored.key = Sha256Hex(stored.id, 32);
    stored.tokens = snapshot->tokens;
    stored.bytes = SnapshotBytes(*snapshot);
    conversations_.Put(stored, snapshot);
    Json head = HeadJson(stored);
    if (!warning.empty()) head["warning"] = warning;
    SendJson(reply, head);
  }

  /// The state in a file's bytes, with the title and the messages that are noted in it.
  Snapshot Read(const std::string& bytes, StoredState& stored, std::string& warning) const {
    const ScratchFile file;
    if (bytes.empty()) throw HttpError(400, "the request's body must be a state file, but it is empty");
    const auto named = [&](std::string message) {  // a name that says something to the client
      const std::string path = file.path();
      for (size_t at; (at = message.find(path)) != std::string::npos;)
        message.replace(at, path.size(), "the file");
      return message;
    };
    try {
      WriteFile(file.path(), bytes);
      ReadSnapshotResult read = ReadSnapshot(file.path(), served_.engine->model(), served_.tokenizer->name());
      warning = named(read.warning);
      for (const Tensor& tensor : read.snapshot.variables) CheckNumbers(tensor);
      if (read.snapshot.logits) CheckNumbers(read.snapshot.logits);
      ReadNotes(ReadStateFile(file.path()).notes, stored);
      return std::move(read.snapshot);
    } catch (const Error& error) {
      throw HttpError(400, named(error.what()));
    }
  }

  static void CheckNumbers(const Tensor& tensor) {
    Check(std::all_of(tensor.data(), tensor.data() + tensor.size(), [](float x) { return std::isfinite(x); }),
          "the file: holds values that are no numbers");
  }

  /// Whatever is not as an export writes it is left out.
  static void ReadNotes(const std::map<std::string, std::string>& notes, StoredState& stored) {
    stored.messages = "[]";
    const auto find = [&](const char* name) {
      const auto found = notes.find(name);
      return found == notes.end() ? std::string() : found->second;
    };
    if (stored.title.empty() && find("title").size() <= kLongestTitle) stored.title = find("title");
    try {
      const Json messages = ParseBody("{\"messages\":" + find("messages") + "}")["messages"];
      ReadMessages(messages);
      stored.messages = Dump(messages);
    } catch (const HttpError&) {
    }
  }

  /// A copy, which stays when the original is removed.
  void Fork(const StoredState& original, const Fields& fields, HttpReply& reply) const {
    StoredState stored = original;
    stored.id = NewId("state_");
    stored.created = UnixTime();
    stored.reply.clear();
    stored.title = Title(fields.String("title").value_or(original.title));
    stored.session.clear();
    if (fields.Find("session") != nullptr) {
      conversations_.FindSession(original.client, fields);
      stored.session = *fields.String("session");
    }
    conversations_.Put(stored, conversations_.Load(original));
    SendJson(reply, HeadJson(stored));
  }

  void Rollback(const StoredState& stored, const std::string& name, const Fields& fields,
                HttpReply& reply) const {
    const int64_t turns = fields.Integer("turns", 1, kMostTurns).value_or(1);
    const StoredState before = conversations_.Ancestor(stored, turns);
    if (stored.id != name) conversations_.SetSession(stored.client, name, before.id);
    SendJson(reply, WholeJson(conversations_, before));
  }

  const Served& served_;
  Conversations& conversations_;
};

}  // namespace

std::vector<HttpRoute> StatesRoutes(const Served& served, Conversations& conversations) {
  const auto api = std::make_shared<const StatesApi>(served, conversations);
  std::vector<HttpRoute> routes;
  using Answer = void (StatesApi::*)(const HttpRequest&, HttpReply&) const;
  const auto add = [&](const char* method, const char* path, Answer answer) {
    AddApi(routes, method, path,
           conversations.Later(
               [api, answer](const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
                 ((*api).*answer)(request, *reply);
               }));
  };
  add("GET", "/states", &StatesApi::List);
  add("GET", "/states/*", &StatesApi::Get);
  add("POST", "/states/*", &StatesApi::Post);
  add("DELETE", "/states/*", &StatesApi::Delete);
  return routes;
}

}  // namespace linnet

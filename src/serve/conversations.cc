#include "serve/conversations.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/sha256.h"
#include "serve/openai_json.h"
#include "serve/router.h"
#include "serve/snapshot_bytes.h"
#include "serve/tools.h"

namespace linnet {
namespace {

using Speaker = ChatMessage::Role;

constexpr size_t kLongestName = 128;  // of a session

const char* RoleName(Speaker role) {
  if (role == Speaker::kSystem) return "system";
  return role == Speaker::kUser ? "user" : "assistant";
}

Json MessagesJson(const std::vector<ChatMessage>& messages) {
  Json list = Json::array();
  for (const auto& [role, text] : messages) list.push_back({{"role", RoleName(role)}, {"content", text}});
  return list;
}

/// What a store has as JSON; null if it is none.
Json Parsed(const std::string& text) {
  Json parsed = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  return parsed.is_discarded() ? Json() : parsed;
}

std::string TextOf(const Json& object, const char* name) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

bool Same(const ChatMessage& a, const ChatMessage& b) {
  const auto trimmed = [](std::string_view text) {
    const size_t begin = text.find_first_not_of(" \t\r\n");
    if (begin == std::string_view::npos) return std::string_view();
    return text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
  };
  return a.role == b.role && trimmed(a.text) == trimmed(b.text);
}

/// Takes away what a conversation has already, if it is all that it has: clients that know nothing of
/// sessions repeat it.
void RemoveKnown(const std::vector<ChatMessage>& known, std::vector<ChatMessage>& messages) {
  const auto [known_end, end] = std::ranges::mismatch(known, messages, Same);
  if (known_end == known.end()) messages.erase(messages.begin(), end);
}

auto EndOfSystem(const std::vector<ChatMessage>& messages) {
  return std::ranges::find_if(messages, [](const ChatMessage& m) { return m.role != Speaker::kSystem; });
}

/// "" if there are none.
std::string SystemHash(const std::vector<ChatMessage>& messages) {
  std::string text;
  for (auto at = messages.begin(); at != EndOfSystem(messages); ++at) text += at->text + '\n';
  return text.empty() ? "" : Sha256Hex(text, 32);
}

Variant VariantOf(const Served& served, const std::string& lora, const std::string& state) {
  if (lora.empty() && state.empty()) return {};
  if (served.variant_of) return served.variant_of(lora, state);
  throw HttpError(400,
                  fmt::format("this goes on from a conversation with the LoRA '{}' and the state '{}', and "
                              "this server was started without any",
                              lora, state));
}

/// Of a state, and of no other that is put under its id after it.
std::string RecentKey(const StoredState& stored) {
  return fmt::format("{}\n{}\n{}\n{}\n{}", stored.client, stored.id, stored.key, stored.created,
                     stored.tokens);
}

void CheckSessionName(const Fields& fields, const std::string& name) {
  const bool printable =
      std::ranges::all_of(name, [](unsigned char c) { return c > ' ' && c != 127 && c != '/'; });
  if (name.empty() || name.size() > kLongestName || !printable)
    fields.Refuse("session", "must be a name of up to 128 characters without blanks and '/'");
  for (const char* prefix : {"resp_", "state_"})
    if (name.starts_with(prefix)) fields.Refuse("session", "must not begin as the ids of states do");
}

}  // namespace

template <class Call>
auto Conversations::Ask(const Call& call) {
  try {
    return call();
  } catch (const HttpError&) {
    throw;
  } catch (const Error& error) {
    HttpError failed(503, std::string("the store of conversations failed: ") + error.what(), "",
                     "store_failed");
    failed.headers = {{"Retry-After", "5"}};
    throw failed;
  }
}

Conversations::Conversations(StateStore& store, int64_t recent_bytes)
    : store_(store), recent_(recent_bytes, nullptr), thread_([this] { Work(); }) {}

Conversations::~Conversations() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  added_.notify_one();
  thread_.join();
}

void Conversations::Add(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    work_.push_back(std::move(work));
  }
  added_.notify_one();
}

void Conversations::Work() {
  for (std::unique_lock lock(mutex_);;) {
    added_.wait(lock, [this] { return ending_ || !work_.empty(); });
    if (work_.empty()) return;
    const std::function<void()> work = std::move(work_.front());
    work_.pop_front();
    lock.unlock();
    work();
    lock.lock();
  }
}

HttpHandler Conversations::Later(HttpHandler handler) {
  const auto route = std::make_shared<const HttpRoute>(HttpRoute{"", "", std::move(handler)});
  return [this, route](const HttpRequest& request, std::shared_ptr<HttpReply> reply) {
    Add([route, request, reply = std::move(reply)] { Router::Answer(*route, request, reply); });
  };
}

StoredState Conversations::Find(const std::string& client, const std::string& name,
                                const std::string& param) {
  auto found = Ask([&] {
    auto state = store_.Find(client, name);
    if (state) return state;
    const std::string id = store_.Session(client, name);
    return id.empty() ? std::nullopt : store_.Find(client, id);
  });
  if (found) return std::move(*found);
  throw HttpError(404, fmt::format("there is no stored state or session '{}'", name), param, "not_found");
}

std::optional<StoredState> Conversations::FindIfAny(const std::string& client, const std::string& id) {
  return Ask([&] { return store_.Find(client, id); });
}

std::optional<StoredState> Conversations::FindSession(const std::string& client, const Fields& fields) {
  const std::string name = fields.String("session").value_or("");
  CheckSessionName(fields, name);
  return Ask([&] {
    const std::string id = store_.Session(client, name);
    return id.empty() ? std::nullopt : store_.Find(client, id);
  });
}

std::shared_ptr<const Snapshot> Conversations::Load(const StoredState& stored) {
  if (auto recent = recent_.Find(RecentKey(stored), false)) return recent;
  auto loaded = Ask([&] { return store_.Load(stored.client, stored.id); });
  if (!loaded) throw HttpError(404, fmt::format("the state '{}' was removed", stored.id), "", "not_found");
  const auto snapshot = std::make_shared<const Snapshot>(std::move(*loaded));
  recent_.Put(RecentKey(stored), snapshot);
  return snapshot;
}

std::vector<StoredState> Conversations::List(const std::string& client, int limit) {
  return Ask([&] { return store_.List(client, limit); });
}

StoredState Conversations::Ancestor(const StoredState& stored, int64_t turns) {
  StoredState at = stored;
  for (int64_t i = 0; i < turns; ++i) {
    if (at.parent.empty())
      throw HttpError(
          400, fmt::format("'{}' has {} turns before it, so that many can be taken back", stored.id, i),
          "turns");
    auto parent = FindIfAny(stored.client, at.parent);
    if (!parent)
      throw HttpError(404,
                      fmt::format("the state '{}', which '{}' goes on from, was removed", at.parent, at.id),
                      "turns", "not_found");
    at = std::move(*parent);
  }
  return at;
}

Json Conversations::Messages(const StoredState& stored, size_t most_turns) {
  std::vector<Json> turns = {Parsed(stored.messages)};
  StoredState at = stored;
  while (!at.parent.empty() && turns.size() < most_turns) {
    auto parent = FindIfAny(stored.client, at.parent);
    if (!parent) break;
    at = std::move(*parent);
    turns.push_back(Parsed(at.messages));
  }
  Json messages = Json::array();
  for (auto turn = turns.rbegin(); turn != turns.rend(); ++turn)
    if (turn->is_array()) messages.insert(messages.end(), turn->begin(), turn->end());
  return messages;
}

void Conversations::Put(const StoredState& stored, const std::shared_ptr<const Snapshot>& snapshot) {
  Ask([&] { store_.Put(stored, *snapshot); });
  recent_.Put(RecentKey(stored), snapshot);
}

void Conversations::Remove(const StoredState& stored) {
  recent_.Forget(RecentKey(stored));
  Ask([&] { store_.Remove(stored.client, stored.id); });
}

void Conversations::SetSession(const std::string& client, const std::string& name, const std::string& id) {
  Ask([&] { store_.SetSession(client, name, id); });
}

Turn Conversations::Begin(const std::string& client, const StoredState* from, const Fields& fields,
                          const Served& served, Job& job) {
  Turn turn;
  turn.stored.client = client;
  turn.stored.created = UnixTime();
  if (from != nullptr) {
    const Json variant = Parsed(from->variant);
    for (const char* name : {"lora", "state"}) {
      const auto wanted = fields.String(name);
      if (wanted && *wanted != TextOf(variant, name))
        fields.Refuse(name,
                      fmt::format("is '{}' in what this goes on from, and stays so", TextOf(variant, name)));
    }
    job.variant = VariantOf(served, TextOf(variant, "lora"), TextOf(variant, "state"));
    job.start = Load(*from);
    turn.stored.parent = from->id;
    turn.tokens_before = job.start->tokens;
    turn.key_before = from->key;
    turn.system = TextOf(variant, "system");
  }
  job.keep_place = true;
  return turn;
}

void Conversations::SetMessages(Turn& turn, std::vector<ChatMessage> messages, const ThinkForm& think,
                                const Served& served, Job& job) {
  const std::string system = SystemHash(messages);
  if (turn.stored.parent.empty()) {
    turn.system = system;
  } else if (!system.empty() && system == turn.system) {
    messages.erase(messages.begin(), EndOfSystem(messages));
  }
  if (messages.empty()) throw HttpError(400, "there is no new message", "messages");
  turn.stored.variant =
      Dump({{"lora", job.variant.lora_name}, {"state", job.variant.state_name}, {"system", turn.system}});
  SetConversation(job, WriteConversation(messages, *served.chat, think, *served.tokenizer, turn.key_before),
                  *served.chat, think);
  turn.key_after = job.key_after;
  turn.messages = std::move(messages);
}

Turn Conversations::BeginSession(const Json& request, const Served& served, ChatRequest& chat) {
  const Fields fields(request);
  if (chat.choices > 1) fields.Refuse("n", "can only be 1 in a session, which goes on with the one answer");
  const auto from = FindSession(chat.job.client, fields);
  Turn turn = Begin(chat.job.client, from ? &*from : nullptr, fields, served, chat.job);
  turn.stored.id = NewId("state_");
  turn.stored.session = *fields.String("session");
  std::vector<ChatMessage> messages =
      ReadMessages(chat.tools ? WithoutTools(request, *served.chat) : request.at("messages"));
  if (from) {
    const Json known = Messages(*from, messages.size());  // a turn has two messages or more
    if (!known.empty()) RemoveKnown(ReadMessages(known), messages);
  }
  chat.goes_on = !messages.empty() && messages.back().role == Speaker::kAssistant;
  SetMessages(turn, std::move(messages), *chat.think, served, chat.job);
  return turn;
}

void Conversations::Keep(Turn turn, const std::string& answer, std::shared_ptr<const Snapshot> place,
                         std::function<void(bool kept)> then) {
  StoredState& stored = turn.stored;
  if (turn.messages.empty() || turn.messages.back().role != Speaker::kAssistant)
    turn.messages.push_back({Speaker::kAssistant, ""});
  turn.messages.back().text += answer;
  stored.messages = Dump(MessagesJson(turn.messages));
  // A place that no text has led to alone, as there was a thought on the way, is known by its id.
  stored.key = turn.key_after ? turn.key_after(answer) : Sha256Hex(stored.id, 32);
  stored.tokens = place->tokens;
  stored.bytes = SnapshotBytes(*place);
  Add([this, stored, place = std::move(place), then = std::move(then)] {
    bool kept = true;
    try {
      store_.Put(stored, *place);
      recent_.Put(RecentKey(stored), place);
    } catch (const std::exception& error) {
      fmt::print(stderr, "linnet: {} was not kept: {}\n", stored.id, error.what());
      kept = false;
    }
    then(kept);
  });
}

}  // namespace linnet

// The kinds of store behind OpenStateStore, and what they have in common: which fields a state has, and how
// many states a client may have.
#pragma once

#include <algorithm>
#include <utility>

#include "serve/state_store.h"

namespace linnet {

/// The fields of a state under their names in a store; client and id are what it is found by.
inline constexpr std::pair<const char*, std::string StoredState::*> kStoredTexts[] = {
    {"parent", &StoredState::parent},   {"session", &StoredState::session},
    {"title", &StoredState::title},     {"messages", &StoredState::messages},
    {"variant", &StoredState::variant}, {"place_key", &StoredState::key},
    {"reply", &StoredState::reply},
};
inline constexpr std::pair<const char*, int64_t StoredState::*> kStoredNumbers[] = {
    {"created", &StoredState::created}, {"tokens", &StoredState::tokens}, {"bytes", &StoredState::bytes}};

/// How many states like one of `bytes` a client may have, which is told in bytes: the states of a model all
/// have the same size.
inline int64_t MostStates(int64_t client_bytes, size_t bytes) {
  return std::max<int64_t>(1, client_bytes / static_cast<int64_t>(std::max<size_t>(1, bytes)));
}

std::unique_ptr<StateStore> OpenMemoryStore(int64_t client_bytes);
std::unique_ptr<StateStore> OpenSqliteStore(const std::filesystem::path& path, const std::string& fingerprint,
                                            int64_t client_bytes);
/// `url` begins with "redis://".
std::unique_ptr<StateStore> OpenRedisStore(const std::string& url, const std::string& fingerprint,
                                           int64_t client_bytes);

}  // namespace linnet

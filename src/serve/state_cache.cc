#include "serve/state_cache.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"

namespace linnet {
namespace {

int64_t BytesOf(const std::string& key, const Snapshot& place) {
  size_t bytes = key.size() + 256;
  for (const Tensor& variable : place.variables) bytes += variable.bytes();
  return static_cast<int64_t>(bytes + (place.logits ? place.logits.bytes() : 0));
}

}  // namespace

std::string VariantKey(const Variant& variant, const LoadedModel& /*model*/) {
  return variant.lora_name + '\n' + variant.state_name;
}

std::shared_ptr<const Snapshot> StateCache::Find(const std::string& key, bool with_logits) {
  std::lock_guard lock(mutex_);
  const auto found = found_.find(key);
  if (found == found_.end()) return nullptr;
  if (with_logits && !found->second->place->logits) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->place;
}

void StateCache::Put(const std::string& key, std::shared_ptr<const Snapshot> place) {
  std::lock_guard lock(mutex_);
  if (const auto old = found_.find(key); old != found_.end()) {
    bytes_ -= old->second->bytes;
    entries_.erase(old->second);
    found_.erase(old);
  }
  const int64_t bytes = BytesOf(key, *place);
  entries_.push_front({key, std::move(place), bytes});
  found_[key] = entries_.begin();
  bytes_ += bytes;
  while (bytes_ > limit_) {
    bytes_ -= entries_.back().bytes;
    found_.erase(entries_.back().key);
    entries_.pop_back();
  }
}

int64_t StateCache::bytes() const {
  std::lock_guard lock(mutex_);
  return bytes_;
}

int64_t StateCache::entries() const {
  std::lock_guard lock(mutex_);
  return static_cast<int64_t>(entries_.size());
}

}  // namespace linnet

#include "serve/state_cache.h"

#include <algorithm>
#include <utility>

#include "base/hash.h"

namespace linnet {
namespace {

/// Bytes that may wait to be written; what comes on top is lost to the folder.
constexpr int64_t kMostLeaving = int64_t{256} << 20;

int64_t BytesOf(const std::string& key, const Snapshot& place) {
  size_t bytes = 2 * key.size() + 256;
  for (const Tensor& variable : place.variables) bytes += variable.bytes();
  return static_cast<int64_t>(bytes + (place.logits ? place.logits.bytes() : 0));
}

}  // namespace

std::string VariantKey(const Variant& variant, const LoadedModel& model) {
  uint64_t hash = Hash("");
  if (variant.lora) {
    for (const Parameter& p : model.params->parameters()) {
      for (const Adapter& adapter : variant.lora->Of(p.tensor))
        hash = SampleHash(adapter.b, SampleHash(adapter.a, Hash(fmt::format("{}", adapter.scale), hash)));
    }
  }
  if (variant.state) {
    for (const Tensor& variable : variant.state->variables) hash = SampleHash(variable, hash);
  }
  return fmt::format("{}\n{}\n{:016x}", variant.lora_name, variant.state_name, hash);
}

StateCache::StateCache(int64_t bytes, std::unique_ptr<StateFolder> folder)
    : limit_(bytes), folder_(std::move(folder)) {
  if (folder_) thread_ = std::thread([this] { Run(); });
}

StateCache::~StateCache() {
  if (!folder_) return;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_one();
  thread_.join();
  // The one used last is written last, hence the last to go.
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
    if (!folder_->Has(entry->key)) WriteOut(entry->key, *entry->place);
  }
}

StateCache::Place StateCache::Find(const std::string& key, bool with_logits) {
  std::lock_guard lock(mutex_);
  const auto usable = [&](const Entry& entry) { return entry.place->logits || !with_logits; };
  if (const auto found = found_.find(key); found != found_.end()) {
    entries_.splice(entries_.begin(), entries_, found->second);
    return usable(*found->second) ? found->second->place : nullptr;
  }
  const auto leaving = std::ranges::find(leaving_, key, &Entry::key);
  return leaving != leaving_.end() && usable(*leaving) ? leaving->place : nullptr;
}

void StateCache::Put(const std::string& key, Place place) {
  std::lock_guard lock(mutex_);
  Insert(key, std::move(place));
}

void StateCache::Forget(const std::string& key) {
  std::lock_guard lock(mutex_);
  Erase(key);
}

void StateCache::Erase(const std::string& key) {
  const auto old = found_.find(key);
  if (old == found_.end()) return;
  bytes_ -= old->second->bytes;
  entries_.erase(old->second);
  found_.erase(old);
}

void StateCache::Insert(const std::string& key, Place place) {
  Erase(key);
  const int64_t bytes = BytesOf(key, *place);
  entries_.push_front({key, std::move(place), bytes});
  found_[key] = entries_.begin();
  bytes_ += bytes;
  while (bytes_ > limit_) {
    Entry& last = entries_.back();
    bytes_ -= last.bytes;
    found_.erase(last.key);
    if (folder_ && leaving_bytes_ + last.bytes <= kMostLeaving) {
      leaving_bytes_ += last.bytes;
      leaving_.push_back(std::move(last));
      work_.notify_one();
    }
    entries_.pop_back();
  }
}

void StateCache::Load(std::string key, std::function<void(Place place)> done) {
  {
    std::lock_guard lock(mutex_);
    loading_.push_back({std::move(key), std::move(done)});
  }
  work_.notify_one();
}

/// Reads come before writes: somebody waits for them.
void StateCache::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    work_.wait(lock, [&] { return stopping_ || !loading_.empty() || !leaving_.empty(); });
    if (!loading_.empty()) {
      const Loading loading = std::move(loading_.front());
      loading_.pop_front();
      lock.unlock();
      loading.done(Fetch(loading.key));
      lock.lock();
    } else if (!leaving_.empty()) {
      const std::string key = leaving_.front().key;
      const Place place = leaving_.front().place;
      lock.unlock();
      if (!folder_->Has(key)) WriteOut(key, *place);
      lock.lock();
      leaving_bytes_ -= leaving_.front().bytes;
      leaving_.pop_front();
    } else {
      return;
    }
  }
}

StateCache::Place StateCache::Fetch(const std::string& key) {
  if (Place place = Find(key, false)) return place;  // somebody else asked for it, too
  try {
    auto read = folder_->Read(key);
    if (!read) return nullptr;
    const auto place = std::make_shared<const Snapshot>(std::move(*read));
    Put(key, place);
    return place;
  } catch (const std::exception&) {
    return nullptr;  // no memory, say: the text will be read again
  }
}

void StateCache::WriteOut(const std::string& key, const Snapshot& place) {
  try {
    folder_->Write(key, place);
  } catch (const std::exception&) {
    // A full disk costs time, no more: the place will be read again.
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

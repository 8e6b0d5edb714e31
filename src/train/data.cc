#include "train/data.h"

#include <algorithm>
#include <cmath>

namespace linnet {

Dataset::Dataset(const std::vector<std::string>& files, double val_fraction, int64_t ctx) : ctx_(ctx) {
  Check(!files.empty(), "there is nothing to learn from; give --data FILE...");
  for (const std::string& name : files) {
    MappedFile file(name);
    const auto bytes = static_cast<int64_t>(file.bytes().size());
    const auto held_out = static_cast<int64_t>(std::floor(static_cast<double>(bytes) * val_fraction));
    const int64_t training = bytes - held_out;
    Check(training > ctx,
          "{}: has {} bytes to learn from, a sample takes {}; give a longer file or --ctx {} or less", name,
          training, ctx + 1, std::max<int64_t>(1, training - 1));
    Check(val_fraction == 0 || held_out > ctx,
          "{}: the held-out part has {} bytes, a sample takes {}; give a longer file, a larger "
          "--val-fraction (0 for "
          "none) or a smaller --ctx",
          name, held_out, ctx + 1);
    parts_.push_back({std::move(file), training});
    places_ += training - ctx;
  }
}

void Dataset::Append(const Part& part, int64_t offset, Samples& samples) const {
  const auto* text = reinterpret_cast<const unsigned char*>(part.file.bytes().data()) + offset;
  samples.batch.tokens.insert(samples.batch.tokens.end(), text, text + ctx_);
  samples.targets.insert(samples.targets.end(), text + 1, text + 1 + ctx_);
  samples.batch.start.push_back(static_cast<int>(samples.batch.tokens.size()));
  samples.batch.slot.push_back(samples.batch.sequences());
}

Samples Dataset::Draw(Random& random, int64_t count) const {
  Samples samples;
  samples.batch.tokens.reserve(count * ctx_);
  samples.targets.reserve(count * ctx_);
  for (int64_t i = 0; i < count; ++i) {
    auto place = static_cast<int64_t>(random.Below(places_));
    auto part = parts_.begin();
    for (; place >= part->training_bytes - ctx_; ++part) place -= part->training_bytes - ctx_;
    Append(*part, place, samples);
  }
  return samples;
}

std::vector<Samples> Dataset::Some(const std::vector<Place>& places, int64_t max_tokens,
                                   int64_t batch) const {
  const auto all = static_cast<int64_t>(places.size());
  const int64_t count = std::min(all, std::max<int64_t>(1, max_tokens / ctx_));
  std::vector<Samples> result;
  for (int64_t i = 0; i < count; ++i) {
    if (i % batch == 0) result.emplace_back();
    const auto [part, offset] = places[i * all / count];
    Append(*part, offset, result.back());
  }
  return result;
}

std::vector<Samples> Dataset::HeldOut(int64_t max_tokens, int64_t batch) const {
  std::vector<Place> places;
  for (const Part& part : parts_) {
    for (int64_t at = part.training_bytes; at + ctx_ < part.bytes(); at += ctx_)
      places.emplace_back(&part, at);
  }
  return Some(places, max_tokens, batch);
}

std::vector<Samples> Dataset::Spread(int64_t max_tokens, int64_t batch) const {
  std::vector<Place> places;
  for (const Part& part : parts_) {
    for (int64_t at = 0; at + ctx_ < part.training_bytes; at += ctx_) places.emplace_back(&part, at);
  }
  return Some(places, max_tokens, batch);
}

std::vector<Dataset::File> Dataset::files() const {
  std::vector<File> files;
  for (const Part& part : parts_)
    files.push_back({std::filesystem::absolute(part.file.path()), part.bytes()});
  return files;
}

int64_t Dataset::training_bytes() const {
  int64_t bytes = 0;
  for (const Part& part : parts_) bytes += part.training_bytes;
  return bytes;
}

int64_t Dataset::held_out_bytes() const {
  int64_t bytes = 0;
  for (const Part& part : parts_) bytes += part.bytes() - part.training_bytes;
  return bytes;
}

std::vector<Samples> EvaluationSamples(const std::vector<std::string>& files, int64_t ctx, int64_t batch,
                                       int64_t max_tokens) {
  if (files.empty()) return {};
  return Dataset(files, /*val_fraction=*/0, ctx).Spread(max_tokens, batch);
}

}  // namespace linnet

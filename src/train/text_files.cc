#include "train/text_files.h"

#include <algorithm>
#include <cmath>

#include "base/random.h"

namespace linnet {

TextFiles::TextFiles(const std::vector<std::string>& files, const DataOptions& options) : options_(options) {
  const int64_t ctx = options.ctx;
  for (const std::string& name : files) {
    MappedFile file(name);
    const auto bytes = static_cast<int64_t>(file.bytes().size());
    const auto held_out = static_cast<int64_t>(std::floor(static_cast<double>(bytes) * options.val_fraction));
    const int64_t training = bytes - held_out;
    Check(options.val_fraction == 1 || training > ctx,
          "{}: has {} bytes to learn from, a sample takes {}; give a longer file or --ctx {} or less", name,
          training, ctx + 1, std::max<int64_t>(1, training - 1));
    Check(options.val_fraction < 1 || bytes > ctx,
          "{}: has {} bytes, a sample takes {}; give a longer file or a smaller --ctx", name, bytes, ctx + 1);
    Check(options.val_fraction == 0 || held_out > ctx,
          "{}: the held-out part has {} bytes, a sample takes {}; give a longer file, a larger "
          "--val-fraction (0 for "
          "none) or a smaller --ctx",
          name, held_out, ctx + 1);
    parts_.push_back({std::move(file), training});
    places_ += std::max<int64_t>(0, training - ctx);
  }
}

void TextFiles::Append(const Part& part, int64_t offset, Samples& samples) const {
  const int64_t ctx = options_.ctx;
  const auto* text = reinterpret_cast<const unsigned char*>(part.file.bytes().data()) + offset;
  samples.batch.tokens.insert(samples.batch.tokens.end(), text, text + ctx);
  samples.targets.insert(samples.targets.end(), text + 1, text + 1 + ctx);
  samples.batch.start.push_back(static_cast<int>(samples.batch.tokens.size()));
  samples.batch.slot.push_back(samples.batch.sequences());
}

std::vector<Samples> TextFiles::Draw(int64_t step, DataPosition& /*position*/) const {
  Random random(options_.seed, static_cast<uint64_t>(step));
  std::vector<Samples> passes(options_.accumulate);
  for (Samples& samples : passes) {
    samples.batch.tokens.reserve(options_.batch * options_.ctx);
    samples.targets.reserve(options_.batch * options_.ctx);
    for (int64_t i = 0; i < options_.batch; ++i) {
      auto place = static_cast<int64_t>(random.Below(places_));
      auto part = parts_.begin();
      for (; place >= part->training_bytes - options_.ctx; ++part)
        place -= part->training_bytes - options_.ctx;
      Append(*part, place, samples);
    }
  }
  return passes;
}

std::vector<Samples> TextFiles::HeldOut(int64_t max_tokens) const {
  std::vector<std::pair<const Part*, int64_t>> places;
  for (const Part& part : parts_) {
    for (int64_t at = part.training_bytes; at + options_.ctx < part.bytes(); at += options_.ctx)
      places.emplace_back(&part, at);
  }
  const auto all = static_cast<int64_t>(places.size());
  const int64_t count = std::min(all, std::max<int64_t>(1, max_tokens / options_.ctx));
  std::vector<Samples> result;
  for (int64_t i = 0; i < count; ++i) {
    if (i % options_.batch == 0) result.emplace_back();
    const auto [part, offset] = places[i * all / count];
    Append(*part, offset, result.back());
  }
  return result;
}

std::vector<Dataset::File> TextFiles::files() const {
  std::vector<File> files;
  for (const Part& part : parts_)
    files.push_back({std::filesystem::absolute(part.file.path()), part.bytes()});
  return files;
}

int64_t TextFiles::training_tokens() const {
  int64_t bytes = 0;
  for (const Part& part : parts_) bytes += part.training_bytes;
  return bytes;
}

int64_t TextFiles::held_out_tokens() const {
  int64_t bytes = 0;
  for (const Part& part : parts_) bytes += part.bytes() - part.training_bytes;
  return bytes;
}

}  // namespace linnet

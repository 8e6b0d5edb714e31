// What the fuzzers of the file formats do with an input; shared with the test that runs the corpus without a
// fuzzer.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "formats/binidx.h"
#include "formats/checkpoint.h"
#include "formats/event_file.h"
#include "formats/event_reader.h"
#include "formats/gguf.h"
#include "formats/idx.h"
#include "formats/names.h"
#include "formats/pth.h"
#include "formats/pth_builder.h"
#include "formats/rwkv_cpp.h"
#include "formats/safetensors.h"
#include "formats/sharded.h"

namespace linnet {

/// The input as a file, in place: a read beyond its end is one beyond the fuzzer's own allocation.
inline MappedFile AsFile(std::span<const std::byte> input) {
  return MappedFile("input", std::shared_ptr<const void>(input.data(), [](const void*) {}), input);
}

/// Reads every byte of every tensor until 16 MiB are read. The result keeps the reads from being optimised
/// away.
inline unsigned ReadAll(const Checkpoint& checkpoint) {
  size_t left = 16 << 20;
  unsigned sum = 0;
  for (const auto& entry : checkpoint.entries()) {
    const Tensor tensor = checkpoint.Load(entry.name);
    const std::span bytes(static_cast<const unsigned char*>(tensor.raw()), tensor.bytes());
    if (bytes.size() > left) break;
    left -= bytes.size();
    for (unsigned char byte : bytes) sum += byte;
  }
  return sum;
}

template <class Open>
void FuzzReader(const Open& open) {
  try {
    [[maybe_unused]] volatile unsigned sum = ReadAll(*open());
  } catch (const Error&) {  // the one exception that a bad file may cause
  }
}

inline void FuzzSafetensors(std::span<const std::byte> input) {
  FuzzReader([&] { return OpenSafetensors(AsFile(input)); });
}

inline void FuzzPth(std::span<const std::byte> input) {
  FuzzReader([&] { return OpenPth(AsFile(input)); });
}

/// The input is what follows the magic number of an old .pth.
inline void FuzzPthStream(std::span<const std::byte> input) {
  const std::string file = pkl::Program(pkl::kStreamMagic) +
                           std::string(reinterpret_cast<const char*>(input.data()), input.size());
  FuzzReader([&] { return OpenPth(AsFile(std::as_bytes(std::span(file)))); });
}

inline void FuzzGguf(std::span<const std::byte> input) {
  FuzzReader([&] { return OpenGguf(AsFile(input)); });
  FuzzReader([&] { return WithPublishedNames(OpenGguf(AsFile(input))); });
}

inline void FuzzRwkvCpp(std::span<const std::byte> input) {
  FuzzReader([&] { return WithPublishedNames(OpenRwkvCpp(AsFile(input))); });
}

/// The names of a safetensors file.
inline void FuzzNames(std::span<const std::byte> input) {
  FuzzReader([&] { return WithPublishedNames(OpenSafetensors(AsFile(input))); });
}

/// What a sound file tells of is what it holds.
inline void FuzzIdx(std::span<const std::byte> input) {
  try {
    const IdxArray array = ParseIdx({reinterpret_cast<const char*>(input.data()), input.size()}, "input");
    size_t count = 1;
    for (int64_t extent : array.extents) count *= static_cast<size_t>(extent);
    if (count != array.values.size()) std::abort();
  } catch (const Error&) {  // the one exception that a bad file may cause
  }
}

inline void FuzzShardIndex(std::span<const std::byte> input) {
  try {
    ReadShardIndex(AsFile(input));
  } catch (const Error&) {
  }
}

inline void FuzzEvents(std::span<const std::byte> input) {
  try {
    [[maybe_unused]] volatile size_t kept = EventsBefore(AsFile(input), 2).size();
  } catch (const Error&) {
  }
}

/// The input is an event; it gets a sound record around it.
inline void FuzzEvent(std::span<const std::byte> input) {
  const std::string event(reinterpret_cast<const char*>(input.data()), input.size());
  const std::string file = EventRecord(event) + EventRecord(event);
  FuzzEvents(std::as_bytes(std::span(file)));
}

/// The input is three files in a row: the sizes of the index and of the tokens, u16 each, then these, and
/// what is left is the mask, if anything is. Of sound ones every token can be read, and documents cover them
/// all.
inline void FuzzBinidx(std::span<const std::byte> input) {
  uint16_t sizes[2] = {};
  if (input.size() < sizeof sizes) return;
  std::memcpy(sizes, input.data(), sizeof sizes);
  input = input.subspan(sizeof sizes);
  const auto take = [&](size_t size) {
    const auto part = input.first(std::min(size, input.size()));
    input = input.subspan(part.size());
    return AsFile(part);
  };
  try {
    const MappedFile index = take(sizes[0]), tokens = take(sizes[1]);
    const Binidx data(index, tokens, input.empty() ? std::nullopt : std::optional(AsFile(input)));
    std::vector<int> ids(data.tokens());
    data.Read(0, ids);
    int64_t length = 0, learnt = 0;
    for (int64_t d = 0; d < data.documents(); ++d) {
      length += data.length(d);
      learnt += data.CountLearnt(data.begin(d), data.begin(d + 1));
    }
    const Binidx::Ids range = data.IdRange();
    const bool sound = length == data.tokens() && learnt == data.CountLearnt(0, data.tokens()) &&
                       (ids.empty() || range.least <= range.most);
    if (!sound) std::abort();
    data.CheckIds(10, "input");
  } catch (const Error&) {  // the one exception that a bad file may cause
  }
}

/// The input is a pickle; it gets a sound archive with two storages of 64 bytes around it.
inline void FuzzPickle(std::span<const std::byte> input) {
  ZipWriter zip;
  zip.Add("a/data.pkl", std::string(reinterpret_cast<const char*>(input.data()), input.size()));
  zip.Add("a/data/0", std::string(64, '0'));
  zip.Add("a/data/1", std::string(64, '1'));
  const std::string file = zip.Finish();
  FuzzReader([&] { return OpenPth(AsFile(std::as_bytes(std::span(file)))); });
}

}  // namespace linnet

#include "formats/event_file.h"

#include <array>
#include <bit>
#include <cstring>

#include "formats/bytes.h"

namespace linnet {
namespace {

constexpr size_t kHead = 12, kTail = 4;  // bytes of a record before and after its event
enum Type : uint8_t { kVarint = 0, kEightBytes = 1, kBytes = 2, kFourBytes = 5 };

uint32_t MaskedCrc(std::string_view bytes) { return std::rotr(Crc32c(bytes), 15) + 0xA282EAD8u; }

template <class T>
std::string Raw(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

std::string Varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}

std::string Key(int number, Type type) { return Varint(static_cast<uint64_t>(number) << 3 | type); }
std::string Field(int number, double value) { return Key(number, kEightBytes) + Raw(value); }
std::string Field(int number, float value) { return Key(number, kFourBytes) + Raw(value); }
std::string Field(int number, int64_t value) {
  return Key(number, kVarint) + Varint(static_cast<uint64_t>(value));
}
/// A text, or a message in a message.
std::string Field(int number, const std::string& bytes) {
  return Key(number, kBytes) + Varint(bytes.size()) + bytes;
}

std::string Value(const StepSummary::Scalar& scalar) {
  return Field(1, scalar.tag) + Field(2, static_cast<float>(scalar.value));
}

std::string Value(const StepSummary::Text& text) {
  constexpr int64_t kString = 7, kTensorClass = 2;
  const std::string shape;  // none: a single value
  const std::string tensor = Field(1, kString) + Field(2, shape) + Field(8, text.text);
  const std::string metadata = Field(1, Field(1, std::string("text"))) + Field(4, kTensorClass);
  return Field(1, text.tag) + Field(8, tensor) + Field(9, metadata);
}

uint64_t ReadVarint(ByteReader& bytes) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const auto byte = bytes.Read<uint8_t>();
    value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
  Fail("{}: an event has a number of more than 64 bits", bytes.where());
}

/// The step of an event; 0 if it names none.
int64_t StepOf(ByteReader event) {
  int64_t step = 0;
  while (event.at() < event.size()) {
    const uint64_t key = ReadVarint(event);
    switch (key & 7) {
      case kVarint: {
        const uint64_t value = ReadVarint(event);
        if (key >> 3 == 2) step = static_cast<int64_t>(value);
        break;
      }
      case kEightBytes:
        event.Take(8);
        break;
      case kBytes:
        event.Take(ReadVarint(event));
        break;
      case kFourBytes:
        event.Take(4);
        break;
      default:
        Fail("{}: an event has a field of the unknown type {}", event.where(), key & 7);
    }
  }
  return step;
}

}  // namespace

uint32_t Crc32c(std::string_view bytes) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> result{};
    for (uint32_t i = 0; i < 256; ++i) {
      result[i] = i;
      for (int bit = 0; bit < 8; ++bit) result[i] = result[i] >> 1 ^ (result[i] & 1 ? 0x82F63B78u : 0);
    }
    return result;
  }();
  uint32_t crc = ~0u;
  for (unsigned char c : bytes) crc = crc >> 8 ^ table[(crc ^ c) & 0xFF];
  return ~crc;
}

EventFile::EventFile(std::filesystem::path path, int64_t first_step, double wall_time)
    : path_(std::move(path)), file_(path_, std::ios::binary) {
  Check(file_.good(), "{}: the events cannot be written; give another --tensorboard DIR", path_.string());
  WriteRecord(Field(1, wall_time) + Field(3, std::string("brain.Event:2")));
  WriteRecord(Field(1, wall_time) + Field(2, first_step) + Field(7, Field(1, int64_t{1})));
}

void EventFile::Write(const StepSummary& summary) {
  std::string values;
  for (const auto& scalar : summary.scalars) values += Field(1, Value(scalar));
  for (const auto& text : summary.texts) values += Field(1, Value(text));
  WriteRecord(Field(1, summary.wall_time) + Field(2, summary.step) + Field(5, values));
}

void EventFile::WriteRecord(std::string_view event) {
  const std::string length = Raw(static_cast<uint64_t>(event.size()));
  std::string record = length + Raw(MaskedCrc(length));
  record += event;
  file_ << record << Raw(MaskedCrc(event)) << std::flush;
  Check(file_.good(), "{}: writing failed; is the disk full?", path_.string());
}

std::string EventsBefore(const MappedFile& file, int64_t next_step) {
  const std::string name = file.path().string();
  ByteReader bytes(file.bytes(), name);
  std::string kept;
  while (bytes.size() - bytes.at() >= kHead) {
    const size_t begin = bytes.at();
    const std::string_view length_bytes = bytes.TakeText(8);
    uint64_t length = 0;
    std::memcpy(&length, length_bytes.data(), sizeof length);
    Check(bytes.Read<uint32_t>() == MaskedCrc(length_bytes),
          "{}: is no event file, or damaged at byte {}; give another --tensorboard DIR", name, begin);
    const size_t left = bytes.size() - bytes.at();
    if (left < kTail || length > left - kTail) break;  // the torn last one
    const auto event = bytes.Take(length);
    Check(bytes.Read<uint32_t>() == MaskedCrc({reinterpret_cast<const char*>(event.data()), event.size()}),
          "{}: the event at byte {} is damaged; give another --tensorboard DIR", name, begin);
    if (StepOf(ByteReader(event, name)) >= next_step && begin != 0) continue;  // the first says what it is
    bytes.Seek(begin);
    kept += bytes.TakeText(kHead + length + kTail);
  }
  return kept;
}

void CutEventFile(const std::filesystem::path& path, int64_t next_step) {
  if (std::filesystem::file_size(path) == 0) return;
  const MappedFile file(path);
  const std::string kept = EventsBefore(file, next_step);
  if (kept.size() != file.bytes().size()) WriteFile(path, kept);
}

}  // namespace linnet

// Event files read strictly, by other means than those that write them.
#pragma once

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "formats/bytes.h"

namespace linnet {

struct ReadEvent {
  double wall_time = 0;
  int64_t step = 0;
  std::string file_version;
  int64_t session_status = 0;
  std::map<std::string, float> scalars;
  std::map<std::string, std::string> texts;
};

/// CRC-32C, a bit at a time, turned and shifted as records have it.
inline uint32_t MaskedCrcOf(std::string_view bytes) {
  uint32_t crc = 0xFFFFFFFF;
  for (unsigned char byte : bytes) {
    for (int bit = 0; bit < 8; ++bit, byte >>= 1) {
      const bool odd = ((crc ^ byte) & 1) != 0;
      crc >>= 1;
      if (odd) crc ^= 0x82F63B78;
    }
  }
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xA282EAD8;
}

/// A record that holds `event`.
inline std::string EventRecord(const std::string& event) {
  const auto raw = [](auto number) { return std::string(reinterpret_cast<char*>(&number), sizeof number); };
  const std::string length = raw(static_cast<uint64_t>(event.size()));
  return length + raw(MaskedCrcOf(length)) + event + raw(MaskedCrcOf(event));
}

/// The fields of a message: its numbers, and the bytes of everything else.
struct ReadMessage {
  std::multimap<uint64_t, uint64_t> numbers;
  std::multimap<uint64_t, std::string> bytes;

  explicit ReadMessage(std::string_view text) {
    const auto varint = [&] {
      uint64_t value = 0;
      for (int shift = 0;; shift += 7) {
        Check(!text.empty() && shift < 64, "a message ends in a number");
        const auto byte = static_cast<unsigned char>(text.front());
        text.remove_prefix(1);
        value |= static_cast<uint64_t>(byte & 127) << shift;
        if (byte < 128) return value;
      }
    };
    while (!text.empty()) {
      const uint64_t key = varint();
      if ((key & 7) == 0) {
        numbers.emplace(key >> 3, varint());
        continue;
      }
      const size_t length = (key & 7) == 1 ? 8 : (key & 7) == 5 ? 4 : (key & 7) == 2 ? varint() : ~size_t{0};
      Check(length <= text.size(), "a message ends in a field");
      bytes.emplace(key >> 3, std::string(text.substr(0, length)));
      text.remove_prefix(length);
    }
  }

  int64_t Number(uint64_t field) const {
    const auto found = numbers.find(field);
    return found == numbers.end() ? 0 : static_cast<int64_t>(found->second);
  }
  std::string Text(uint64_t field) const {
    const auto found = bytes.find(field);
    return found == bytes.end() ? "" : found->second;
  }
  template <class T>
  T As(uint64_t field) const {
    const std::string text = Text(field);
    Check(text.size() == sizeof(T), "field {} has {} bytes", field, text.size());
    T value;
    std::memcpy(&value, text.data(), sizeof value);
    return value;
  }
};

inline ReadEvent EventOf(const std::string& bytes) {
  const ReadMessage message(bytes);
  ReadEvent event;
  event.wall_time = message.As<double>(1);
  event.step = message.Number(2);
  event.file_version = message.Text(3);
  event.session_status = ReadMessage(message.Text(7)).Number(1);
  const ReadMessage summary(message.Text(5));
  for (const auto& [field, value_bytes] : summary.bytes) {
    Check(field == 1, "a summary has a field {}", field);
    const ReadMessage value(value_bytes);
    const std::string tag = value.Text(1);
    if (value.bytes.contains(2)) {
      event.scalars[tag] = value.As<float>(2);
      continue;
    }
    const ReadMessage tensor(value.Text(8)), metadata(value.Text(9));
    Check(tensor.Number(1) == 7 && tensor.bytes.count(8) == 1, "{} is no text", tag);
    Check(ReadMessage(metadata.Text(1)).Text(1) == "text", "{} is not for the text plugin", tag);
    event.texts[tag] = tensor.Text(8);
  }
  return event;
}

/// All events of a file. Throws Error unless it is sound from its first byte to its last.
inline std::vector<ReadEvent> ReadEvents(const std::filesystem::path& path) {
  const MappedFile file(path);
  ByteReader bytes(file.bytes(), path.string());
  std::vector<ReadEvent> events;
  while (bytes.at() < bytes.size()) {
    const std::string length_bytes(bytes.TakeText(8));
    uint64_t length;
    std::memcpy(&length, length_bytes.data(), sizeof length);
    Check(bytes.Read<uint32_t>() == MaskedCrcOf(length_bytes), "a length is damaged");
    const std::string event(bytes.TakeText(length));
    Check(bytes.Read<uint32_t>() == MaskedCrcOf(event), "an event is damaged");
    events.push_back(EventOf(event));
  }
  Check(!events.empty() && events[0].file_version == "brain.Event:2", "the version is missing");
  return events;
}

}  // namespace linnet

// TensorBoard's event files, the few messages of them that a training run writes. Integers are little-endian.
//
//     file     record record ...
//     record   u64 length, u32 masked(crc of the length), the bytes of an Event, u32 masked(crc of these)
//              crc: CRC-32C (Castagnoli, reflected polynomial 0x82F63B78)
//              masked(c) = rotate right(c, 15) + 0xA282EAD8, so that a crc of bytes with crcs in them is
//              sound
//     Event    a protocol buffer: fields, each a varint (number << 3 | type) and its value:
//              1 wall_time double, 2 step varint, one of { 3 file_version text, 5 summary, 7 session_log }
//     summary      1 value, repeated: { 1 tag text, 2 simple_value float } or, for a text,
//                  { 1 tag, 8 tensor { 1 dtype = 7 (string), 2 shape, 8 string_val }, 9 metadata
//                    { 1 plugin { 1 name = "text" }, 4 data_class = 2 (tensor) } }
//     session_log  1 status = 1 (start): a viewer forgets what it has seen of this step and later ones
//
// The first event is file_version "brain.Event:2". Field types: 0 varint, 1 eight bytes, 2 length and bytes,
// 5 four bytes. Sources: tensorflow's record_writer.h, event.proto, summary.proto and tensor.proto.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace linnet {

/// CRC-32C of some bytes.
uint32_t Crc32c(std::string_view bytes);

/// What one event says of a step.
struct StepSummary {
  int64_t step = 0;
  double wall_time = 0;  // seconds since 1970
  struct Scalar {
    std::string tag;
    double value;
  };
  std::vector<Scalar> scalars;
  struct Text {
    std::string tag, text;  // UTF-8; viewers read it as Markdown
  };
  std::vector<Text> texts = {};
};

/// Appends to an event file. Every event is on its way to the disk when a call returns.
class EventFile {
 public:
  /// Starts a new file, whose session begins with `first_step`. Throws Error if it cannot be written.
  EventFile(std::filesystem::path path, int64_t first_step, double wall_time);
  /// Throws Error if that fails.
  void Write(const StepSummary& summary);

 private:
  void WriteRecord(std::string_view event);

  std::filesystem::path path_;
  std::ofstream file_;
};

/// What stays of an event file when the events of `next_step` and later ones go, and what a killed program
/// left half-written at its end. Throws Error if anything before is damaged.
std::string EventsBefore(const MappedFile& file, int64_t next_step);

/// Removes from an event file the events of `next_step` and later ones, and what a killed program left
/// half-written at its end. Throws Error, and changes nothing, if anything before is damaged.
void CutEventFile(const std::filesystem::path& path, int64_t next_step);

}  // namespace linnet

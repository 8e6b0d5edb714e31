// CsvReader: tables of text, one record after another.
//
// RFC 4180: fields are separated by commas, records by line ends (LF or CRLF); a field that begins with a
// quote ends with the next quote that is not doubled and may hold commas, line ends and, doubled, quotes. A
// quote inside a field that does not begin with one is a character like any other. Blank lines and a byte
// order mark are skipped.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace linnet {

struct CsvRecord {
  int64_t line = 0;  // where it begins, from 1
  std::vector<std::string> fields;
};

class CsvReader {
 public:
  /// `text` must outlive the reader; `name` (of the file) is what errors call it.
  CsvReader(std::string_view text, std::string name);

  /// Reads the next record; false if there is none. Throws Error, naming file and line, if a quoted field has
  /// no end or goes on after it, or if a record has more than 1,000 fields.
  bool Next(CsvRecord& record);

 private:
  /// Takes one field and what ends it. Returns whether another one follows in this record.
  bool NextField(std::string& field);
  void QuotedField(std::string& field);
  /// Takes a line end, if that is what comes next.
  bool TakeLineEnd();

  std::string_view text_;
  std::string name_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

}  // namespace linnet

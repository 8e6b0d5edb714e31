// What the fuzzer of tables does with an input; shared with the test that runs the corpus without a
// fuzzer.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "text/csv.h"

namespace linnet {

using Table = std::vector<std::vector<std::string>>;

inline Table ReadTable(std::string_view text) {
  CsvReader reader(text, "input");
  CsvRecord record;
  Table table;
  int64_t line = 0;
  while (reader.Next(record)) {
    if (record.line <= line) std::abort();
    line = record.line;
    table.push_back(record.fields);
  }
  return table;
}

/// Every field in quotes, those inside doubled.
inline std::string WriteTable(const Table& table) {
  std::string text;
  for (const auto& record : table) {
    for (size_t i = 0; i < record.size(); ++i) {
      text += i == 0 ? "\"" : ",\"";
      for (char c : record[i]) text += c == '"' ? "\"\"" : std::string(1, c);
      text += '"';
    }
    text += '\n';
  }
  return text;
}

/// A table that was read is the same when it is written and read again.
inline void FuzzCsv(std::span<const std::byte> input) {
  try {
    const Table table = ReadTable({reinterpret_cast<const char*>(input.data()), input.size()});
    if (ReadTable(WriteTable(table)) != table) std::abort();
  } catch (const Error&) {  // the one exception that a bad file may cause
  }
}

}  // namespace linnet

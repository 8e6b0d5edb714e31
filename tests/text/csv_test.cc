#include "text/csv.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "fuzz/csv_entries.h"

namespace linnet {
namespace {

std::string MessageOf(std::string_view text) {
  try {
    ReadTable(text);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(Csv, FieldsAndRecords) {
  EXPECT_EQ(ReadTable("a,b\nc,d\n"), Table({{"a", "b"}, {"c", "d"}}));
  EXPECT_EQ(ReadTable("a,b\r\nc,d"), Table({{"a", "b"}, {"c", "d"}}));
  EXPECT_EQ(ReadTable("a,,\n,b"), Table({{"a", "", ""}, {"", "b"}}));
  EXPECT_EQ(ReadTable(","), Table({{"", ""}}));
  EXPECT_EQ(ReadTable(""), Table());
  EXPECT_EQ(ReadTable("\n\r\n\na\n\n"), Table({{"a"}}));
  EXPECT_EQ(ReadTable("\xEF\xBB\xBF"
                      "a,b"),
            Table({{"a", "b"}}));
  EXPECT_EQ(ReadTable("a\rb, c "), Table({{"a\rb", " c "}}));
}

TEST(Csv, QuotesHoldAnything) {
  EXPECT_EQ(ReadTable("\"a,b\",\"c\nd\r\ne\",f"), Table({{"a,b", "c\nd\r\ne", "f"}}));
  EXPECT_EQ(ReadTable("\"say \"\"hi\"\"\",\"\"\n\"\"\"\""), Table({{"say \"hi\"", ""}, {"\""}}));
  EXPECT_EQ(ReadTable("5\" pipe,a\"b\""), Table({{"5\" pipe", "a\"b\""}}));
}

TEST(Csv, RecordsKnowTheirLine) {
  const std::string text = "a\n\n\"b\nb\"\nc";
  CsvReader reader(text, "input");
  CsvRecord record;
  std::vector<int64_t> lines;
  while (reader.Next(record)) lines.push_back(record.line);
  EXPECT_EQ(lines, (std::vector<int64_t>{1, 3, 5}));
}

TEST(Csv, BadQuotesAreNamedWithTheirLine) {
  EXPECT_EQ(MessageOf("a\nb,\"c\nd\n"), "input, line 2: a field begins with a quote and has no closing one");
  EXPECT_EQ(MessageOf("\""), "input, line 1: a field begins with a quote and has no closing one");
  EXPECT_NE(MessageOf("a\n\"b\"c,d").find("input, line 2: a field goes on after its closing quote"),
            std::string::npos);
  EXPECT_NE(MessageOf("\"b\" ,d").find("line 1"), std::string::npos);
}

TEST(Csv, NoRecordIsEndless) {
  EXPECT_EQ(MessageOf(std::string(999, ',')), "");
  EXPECT_NE(MessageOf("a\n" + std::string(1000, ',')).find("line 2: has more than 1000 fields"),
            std::string::npos);
}

// The fuzzer's seeds and finds, whole, cut anywhere, and with any byte changed.
TEST(Csv, TheCorpusIsReadOrRefused) {
  size_t files = 0;
  for (const auto& file : std::filesystem::directory_iterator(LINNET_SOURCE_DIR "/tests/fuzz/corpus/csv")) {
    const std::string text = ReadFile(file.path());
    EXPECT_NO_THROW(FuzzCsv(std::as_bytes(std::span(text))));
    for (size_t i = 0; i < std::min<size_t>(text.size(), 200); ++i) {
      std::string changed = text;
      changed[i] = i % 2 == 0 ? '"' : '\n';
      EXPECT_NO_THROW(FuzzCsv(std::as_bytes(std::span(changed))));
      changed.resize(i);
      EXPECT_NO_THROW(FuzzCsv(std::as_bytes(std::span(changed))));
    }
    ++files;
  }
  EXPECT_GE(files, 6u);
}

}  // namespace
}  // namespace linnet

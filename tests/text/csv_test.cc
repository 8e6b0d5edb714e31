#include "text/csv.h"

#include <gtest/gtest.h>

#include "base/check.h"

namespace linnet {
namespace {

using Table = std::vector<std::vector<std::string>>;

Table Read(std::string_view text) {
  CsvReader reader(text, "t.csv");
  CsvRecord record;
  Table table;
  while (reader.Next(record)) table.push_back(record.fields);
  return table;
}

std::string MessageOf(std::string_view text) {
  try {
    Read(text);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(Csv, FieldsAndRecords) {
  EXPECT_EQ(Read("a,b\nc,d\n"), Table({{"a", "b"}, {"c", "d"}}));
  EXPECT_EQ(Read("a,b\r\nc,d"), Table({{"a", "b"}, {"c", "d"}}));
  EXPECT_EQ(Read("a,,\n,b"), Table({{"a", "", ""}, {"", "b"}}));
  EXPECT_EQ(Read(","), Table({{"", ""}}));
  EXPECT_EQ(Read(""), Table());
  EXPECT_EQ(Read("\n\r\n\na\n\n"), Table({{"a"}}));
  EXPECT_EQ(Read("\xEF\xBB\xBF"
                 "a,b"),
            Table({{"a", "b"}}));
  EXPECT_EQ(Read("a\rb, c "), Table({{"a\rb", " c "}}));
}

TEST(Csv, QuotesHoldAnything) {
  EXPECT_EQ(Read("\"a,b\",\"c\nd\r\ne\",f"), Table({{"a,b", "c\nd\r\ne", "f"}}));
  EXPECT_EQ(Read("\"say \"\"hi\"\"\",\"\"\n\"\"\"\""), Table({{"say \"hi\"", ""}, {"\""}}));
  EXPECT_EQ(Read("5\" pipe,a\"b\""), Table({{"5\" pipe", "a\"b\""}}));
}

TEST(Csv, RecordsKnowTheirLine) {
  const std::string text = "a\n\n\"b\nb\"\nc";
  CsvReader reader(text, "t.csv");
  CsvRecord record;
  std::vector<int64_t> lines;
  while (reader.Next(record)) lines.push_back(record.line);
  EXPECT_EQ(lines, (std::vector<int64_t>{1, 3, 5}));
}

TEST(Csv, BadQuotesAreNamedWithTheirLine) {
  EXPECT_EQ(MessageOf("a\nb,\"c\nd\n"), "t.csv, line 2: a field begins with a quote and has no closing one");
  EXPECT_EQ(MessageOf("\""), "t.csv, line 1: a field begins with a quote and has no closing one");
  EXPECT_NE(MessageOf("a\n\"b\"c,d").find("t.csv, line 2: a field goes on after its closing quote"),
            std::string::npos);
  EXPECT_NE(MessageOf("\"b\" ,d").find("line 1"), std::string::npos);
}

TEST(Csv, NoRecordIsEndless) {
  EXPECT_EQ(MessageOf(std::string(999, ',')), "");
  EXPECT_NE(MessageOf("a\n" + std::string(1000, ',')).find("line 2: has more than 1000 fields"),
            std::string::npos);
}

}  // namespace
}  // namespace linnet

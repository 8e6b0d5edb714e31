#include "text/csv.h"

#include <utility>

#include "base/check.h"

namespace linnet {
namespace {

constexpr size_t kMostFields = 1000;

}  // namespace

CsvReader::CsvReader(std::string_view text, std::string name) : text_(text), name_(std::move(name)) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text_.starts_with(kByteOrderMark)) at_ = kByteOrderMark.size();
}

bool CsvReader::TakeLineEnd() {
  const std::string_view rest = text_.substr(at_);
  const size_t length = rest.starts_with("\r\n") ? 2 : rest.starts_with('\n') ? 1 : 0;
  at_ += length;
  line_ += length > 0;
  return length > 0;
}

void CsvReader::QuotedField(std::string& field) {
  const int64_t first_line = line_;
  for (++at_;; ++at_) {
    Check(at_ < text_.size(), "{}, line {}: a field begins with a quote and has no closing one", name_,
          first_line);
    if (text_[at_] == '"') {
      if (++at_ == text_.size() || text_[at_] != '"') return;
    }
    line_ += text_[at_] == '\n';
    field += text_[at_];
  }
}

bool CsvReader::NextField(std::string& field) {
  if (at_ < text_.size() && text_[at_] == '"') {
    QuotedField(field);
  } else {
    while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '\n') {
      if (text_.substr(at_).starts_with("\r\n")) break;
      field += text_[at_++];
    }
  }
  if (at_ == text_.size() || TakeLineEnd()) return false;
  Check(text_[at_] == ',',
        "{}, line {}: a field goes on after its closing quote; quotes inside of a quoted field are doubled",
        name_, line_);
  ++at_;
  return true;
}

bool CsvReader::Next(CsvRecord& record) {
  while (TakeLineEnd()) {
  }
  if (at_ == text_.size()) return false;
  record.line = line_;
  record.fields.clear();
  bool more = true;
  while (more) {
    Check(record.fields.size() < kMostFields, "{}, line {}: has more than {} fields", name_, record.line,
          kMostFields);
    more = NextField(record.fields.emplace_back());
  }
  return true;
}

}  // namespace linnet

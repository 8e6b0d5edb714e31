#include "serve/tool_stream.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "serve/fields.h"

namespace linnet {
namespace {

constexpr std::string_view kFence = "```", kOpening = "```json", kBlanks = " \n\r\t";

size_t BlanksOf(std::string_view text, size_t from = 0) {
  return std::min(text.find_first_not_of(kBlanks, from), text.size());
}

/// Bytes at the end of `text` that are the start of `token`.
size_t StartAtEnd(std::string_view text, std::string_view token) {
  for (size_t length = std::min(text.size(), token.size() - 1); length > 0; --length)
    if (token.starts_with(text.substr(text.size() - length))) return length;
  return 0;
}

/// The length of the string of JSON that `text` begins with; 0 if its end has not come.
size_t StringLength(std::string_view text) {
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '"') return i + 1;
    if (text[i] == '\\') ++i;
  }
  return 0;
}

/// The beginning of a call up to the brace of its arguments, {"name": "f", "arguments":
struct Head {
  enum class Found { kYes, kNo, kMore } found = Found::kNo;  // kMore: it may come
  std::string name;
  size_t length = 0;
};

Head ReadHead(std::string_view text) {
  using Found = Head::Found;
  Head head;
  constexpr std::string_view kString;  // any
  size_t at = 0;
  for (const std::string_view expected :
       {std::string_view("{"), std::string_view("\"name\""), std::string_view(":"), kString,
        std::string_view(","), std::string_view("\"arguments\""), std::string_view(":"),
        std::string_view("{")}) {
    at = BlanksOf(text, at);
    const std::string_view rest = text.substr(at);
    size_t length = expected.size();
    if (rest.size() < std::max<size_t>(1, length))
      return {expected.starts_with(rest) ? Found::kMore : Found::kNo, "", 0};
    if (expected == kString) {
      if (rest[0] != '"') return {};
      length = StringLength(rest);
      if (length == 0) return {Found::kMore, "", 0};
      const Json name = Json::parse(rest.substr(0, length), nullptr, /*allow_exceptions=*/false);
      if (!name.is_string()) return {};
      head.name = name.get<std::string>();
    } else if (!rest.starts_with(expected)) {
      return {};
    }
    at += length;
  }
  head.found = Found::kYes;
  head.length = at - 1;
  return head;
}

std::string Compact(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

/// The call that an object is, in whatever order.
std::optional<ToolCallPiece> CallIn(std::string_view object) {
  const Json call = ParseText(object);
  if (!call.is_object() || !call.contains("name") || !call["name"].is_string()) return {};
  if (!call.contains("arguments") && call.size() > 1) return {};
  Json arguments = call.value("arguments", Json::object());
  if (arguments.is_string()) arguments = ParseText(arguments.get<std::string>());
  if (!arguments.is_object()) return {};
  return ToolCallPiece{true, call["name"].get<std::string>(), Compact(arguments), true};
}

}  // namespace

void Append(const std::vector<ToolCallPiece>& pieces, std::vector<ToolCall>& calls) {
  for (const ToolCallPiece& piece : pieces) {
    if (piece.begins) calls.push_back({piece.name, "", false});
    ToolCall& call = calls.back();
    call.arguments += piece.arguments;
    if (!piece.ends) continue;
    call.whole = true;
    const Json arguments = ParseText(call.arguments);
    if (arguments.is_object()) call.arguments = Compact(arguments);
  }
}

bool Brackets::Closes(char c) {
  if (in_string_) {
    if (escaped_)
      escaped_ = false;
    else if (c == '\\')
      escaped_ = true;
    else if (c == '"')
      in_string_ = false;
    return false;
  }
  if (c == '"') in_string_ = true;
  if (c == '{' || c == '[') ++depth_;
  return (c == '}' || c == ']') && --depth_ == 0;
}

std::string ToolStream::Take(size_t bytes) {
  std::string taken = held_.substr(0, bytes);
  held_.erase(0, bytes);
  return taken;
}

void ToolStream::BeginObject() {
  part_ = Part::kObject;
  brackets_ = {};
  scanned_ = 0;
  other_order_ = skips_ = false;
}

bool ToolStream::BecomeText(Pieces& out) {
  out.text += std::exchange(before_, "");
  part_ = Part::kText;
  return true;
}

bool ToolStream::StepStart() {
  const size_t begin = BlanksOf(held_);
  if (begin == held_.size()) return false;
  if (held_[begin] == '{') {
    before_ = Take(begin);
    BeginObject();
  } else {
    part_ = Part::kText;
  }
  return true;
}

bool ToolStream::StepText(Pieces& out) {
  const size_t found = held_.find(kOpening);
  const bool opens = found != std::string::npos;
  out.text += Take(opens ? found : held_.size() - StartAtEnd(held_, kOpening));
  if (!opens) return false;
  before_ = Take(kOpening.size());
  in_list_ = false;
  part_ = Part::kOpening;
  return true;
}

bool ToolStream::StepOpening(Pieces& out) {
  before_ += Take(BlanksOf(held_));
  if (held_.empty()) return false;
  if (held_[0] == '[' && before_.find('[') == std::string::npos) {
    before_ += Take(1);
    in_list_ = true;
    return true;
  }
  if (held_[0] != '{') return BecomeText(out);
  in_block_ = true;
  BeginObject();
  return true;
}

bool ToolStream::StepObject(Pieces& out) {
  if (!other_order_) {
    const Head head = ReadHead(held_);
    if (head.found == Head::Found::kMore) return false;
    if (head.found == Head::Found::kYes) {
      out.calls.push_back({true, head.name, "", false});
      held_.erase(0, head.length);
      before_.clear();
      part_ = Part::kArguments;
      return true;
    }
    other_order_ = true;
  }
  while (scanned_ < held_.size()) {
    if (!brackets_.Closes(held_[scanned_++])) continue;
    const std::string object = Take(scanned_);
    if (auto call = CallIn(object)) {
      out.calls.push_back(std::move(*call));
      before_.clear();
      part_ = Part::kBetween;
      return true;
    }
    before_ += object;
    return BecomeText(out);
  }
  return false;
}

bool ToolStream::StepArguments(Pieces& out) {
  size_t end = 0;
  bool closed = false;
  // Outside of strings JSON has no such mark: where it comes nevertheless, the block ends before the call.
  const auto at_fence = [&] { return held_[end] == kFence[0] && !brackets_.in_string(); };
  while (end < held_.size() && !closed && !at_fence()) closed = brackets_.Closes(held_[end++]);
  const bool ends = closed || end < held_.size();
  std::string more = characters_.Push(Take(end));
  if (ends) more += characters_.Finish();
  if (!more.empty()) out.calls.push_back({false, "", std::move(more), closed});
  if (ends) part_ = closed ? Part::kRest : Part::kBetween;
  return ends;
}

bool ToolStream::StepRest() {
  if (!skips_) {
    held_.erase(0, BlanksOf(held_));
    if (held_.empty()) return false;
    if (held_[0] != ',') {
      if (held_[0] == '}') held_.erase(0, 1);
      part_ = Part::kBetween;
      return true;
    }
    skips_ = true;
    brackets_ = {};
    brackets_.Closes('{');
  }
  for (size_t i = 0; i < held_.size(); ++i) {
    if (!brackets_.Closes(held_[i])) continue;
    held_.erase(0, i + 1);
    part_ = Part::kBetween;
    return true;
  }
  held_.clear();
  return false;
}

bool ToolStream::StepBetween() {
  const std::string_view ignored = in_block_ ? " \n\r\t,]" : kBlanks;
  held_.erase(0, std::min(held_.find_first_not_of(ignored), held_.size()));
  if (held_.empty()) return false;
  if (held_[0] == '{') {
    BeginObject();
    return true;
  }
  if (in_block_) {
    if (held_.size() < kFence.size() && kFence.starts_with(held_)) return false;
    if (held_.starts_with(kFence)) held_.erase(0, kFence.size());
    in_block_ = false;
  }
  part_ = Part::kText;
  return true;
}

bool ToolStream::Step(Pieces& out) {
  switch (part_) {
    case Part::kStart:
      return StepStart();
    case Part::kText:
      return StepText(out);
    case Part::kOpening:
      return StepOpening(out);
    case Part::kObject:
      return StepObject(out);
    case Part::kArguments:
      return StepArguments(out);
    case Part::kRest:
      return StepRest();
    case Part::kBetween:
      return StepBetween();
  }
  return false;
}

std::string ToolStream::closing() const {
  std::string text = part_ == Part::kRest ? "}" : "";
  if (in_block_) text += std::string(in_list_ ? "]" : "") + "\n" + std::string(kFence);
  return text;
}

ToolStream::Pieces ToolStream::Push(std::string_view bytes) {
  held_ += bytes;
  Pieces out;
  while (Step(out)) {
  }
  return out;
}

ToolStream::Pieces ToolStream::Finish() {
  Pieces out;
  if (part_ == Part::kArguments) {
    std::string rest = characters_.Finish();
    if (!rest.empty()) out.calls.push_back({false, "", std::move(rest), false});
  }
  const bool after_call = part_ == Part::kArguments || part_ == Part::kRest || part_ == Part::kBetween;
  if (!after_call) out.text = std::exchange(before_, "") + held_;
  held_.clear();
  return out;
}

}  // namespace linnet

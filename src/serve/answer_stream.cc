#include "serve/answer_stream.h"

#include <algorithm>
#include <iterator>

namespace linnet {

std::string BlankFilter::Push(std::string_view bytes) {
  constexpr std::string_view kBlanks = " \t\r\n";
  if (!started_) {
    const size_t begin = bytes.find_first_not_of(kBlanks);
    if (begin == std::string_view::npos) return "";
    bytes.remove_prefix(begin);
    started_ = true;
  }
  const size_t last = bytes.find_last_not_of(kBlanks);
  if (last == std::string_view::npos) {
    held_ += bytes;
    return "";
  }
  std::string out = held_ + std::string(bytes.substr(0, last + 1));
  held_ = bytes.substr(last + 1);
  return out;
}

AnswerStream::AnswerStream(const ChatRequest& request, const ChatTemplate& chat)
    : thinks_(chat.thinks && !request.goes_on),
      tools_(request.tools),
      clean_(chat.clean),
      blanks_(/*from_start=*/!request.goes_on) {
  if (thinks_) thought_.Push(request.think->before_answer);
}

void AnswerStream::Add(const ThoughtStream::Pieces& split, Pieces& out) {
  out.reasoning += thought_characters_.Push(thought_blanks_.Push(split.thought));
  std::string text = split.answer;
  if (tools_) {
    ToolStream::Pieces pieces = calls_.Push(text);
    text = std::move(pieces.text);
    std::move(pieces.calls.begin(), pieces.calls.end(), std::back_inserter(out.calls));
  }
  out.content += characters_.Push(clean_ ? blanks_.Push(text) : text);
}

AnswerStream::Pieces AnswerStream::Push(std::string_view bytes) {
  Pieces out;
  Add(thinks_ ? thought_.Push(bytes) : ThoughtStream::Pieces{"", std::string(bytes)}, out);
  return out;
}

AnswerStream::Pieces AnswerStream::Finish() {
  Pieces out;
  if (thinks_) Add(thought_.Finish(), out);
  if (tools_) {
    ToolStream::Pieces pieces = calls_.Finish();
    std::move(pieces.calls.begin(), pieces.calls.end(), std::back_inserter(out.calls));
    out.content += characters_.Push(clean_ ? blanks_.Push(pieces.text) : pieces.text);
  }
  out.reasoning += thought_characters_.Finish();
  out.content += characters_.Finish();
  return out;
}

std::optional<Job::Closing> FirstCallEnd::operator()(std::string_view bytes) {
  // A call is known to end with its last byte, so these come one by one.
  for (size_t i = 0; i < bytes.size(); ++i) {
    const AnswerStream::Pieces pieces = stream_.Push(bytes.substr(i, 1));
    if (std::ranges::any_of(pieces.calls, &ToolCallPiece::ends))
      return Job::Closing{i + 1, stream_.calls().closing()};
  }
  return std::nullopt;
}

}  // namespace linnet

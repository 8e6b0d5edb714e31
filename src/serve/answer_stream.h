// AnswerStream: what a client gets to see of an answer as it comes, from the bytes that a model writes: the
// thought apart from the rest, calls of tools apart from text, whole characters, and none of the blanks that
// stand around an answer in its template.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "serve/chat_request.h"
#include "serve/tool_stream.h"
#include "text/utf8.h"

namespace linnet {

/// Lets a text through without the blanks at its ends.
class BlankFilter {
 public:
  explicit BlankFilter(bool from_start) : started_(!from_start) {}
  /// The next bytes; returns what is certain to stay.
  std::string Push(std::string_view bytes);

 private:
  bool started_;  // something has come that is not blank
  std::string held_;
};

class AnswerStream {
 public:
  struct Pieces {
    std::string reasoning, content;  // valid UTF-8
    std::vector<ToolCallPiece> calls;
    bool empty() const { return reasoning.empty() && content.empty() && calls.empty(); }
  };

  AnswerStream(const ChatRequest& request, const ChatTemplate& chat);
  /// The next bytes of the model's, and what is now certain.
  Pieces Push(std::string_view bytes);
  /// The answer ends: what was held back.
  Pieces Finish();
  const ToolStream& calls() const { return calls_; }

 private:
  void Add(const ThoughtStream::Pieces& split, Pieces& out);

  bool thinks_, tools_, clean_;
  ThoughtStream thought_;
  ToolStream calls_;
  BlankFilter blanks_, thought_blanks_{true};
  Utf8Stream characters_{Utf8Stream::Mode::kValid}, thought_characters_{Utf8Stream::Mode::kValid};
};

/// Says where an answer's first call ends, for a client that wants no other (Job::closes).
class FirstCallEnd {
 public:
  explicit FirstCallEnd(AnswerStream stream) : stream_(std::move(stream)) {}
  /// The next bytes of the model's.
  std::optional<Job::Closing> operator()(std::string_view bytes);

 private:
  AnswerStream stream_;
};

}  // namespace linnet

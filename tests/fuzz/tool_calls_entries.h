// What the fuzzer of tool calls does with an input, an answer of a model's; shared with the test that runs
// the corpus without a fuzzer. The laws:
//
//   - wherever an answer is cut into pieces, text and calls are the same;
//   - a call has its name first, then arguments, and ends once; all of it is UTF-8;
//   - calls written down as the model is shown its own (serve/tools.h) are read as the same calls;
//   - an answer that ends behind its first call, with what is missing of the form, has that call and no more.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "serve/fields.h"
#include "serve/tool_stream.h"
#include "serve/tools.h"

namespace linnet {

inline void Demand(bool holds) {
  if (!holds) std::abort();
}

/// What came of an answer.
struct FoundCalls {
  FoundCalls() = default;
  FoundCalls(std::string t, std::vector<ToolCall> c) : text(std::move(t)), calls(std::move(c)) {}

  std::string text;
  std::vector<ToolCall> calls;

  void Take(const ToolStream::Pieces& pieces) {
    text += pieces.text;
    for (const ToolCallPiece& piece : pieces.calls) {
      Demand(piece.begins || (open_ && !piece.arguments.empty()));
      open_ = !piece.ends;
      Json(piece.name + piece.arguments).dump();  // throws unless it is UTF-8
    }
    Append(pieces.calls, calls);
  }
  bool operator==(const FoundCalls& other) const {
    const auto same = [](const ToolCall& a, const ToolCall& b) {
      return a.name == b.name && a.arguments == b.arguments && a.whole == b.whole;
    };
    return text == other.text && std::ranges::equal(calls, other.calls, same);
  }

 private:
  bool open_ = false;  // of the last call more arguments may come
};

/// Of an answer in pieces of up to `most` bytes, whose sizes hang on `seed`.
inline FoundCalls CallsInPieces(std::string_view answer, uint64_t seed, size_t most) {
  ToolStream stream;
  FoundCalls found;
  for (size_t at = 0; at < answer.size();) {
    seed = Hash("next", seed);
    const size_t size = 1 + static_cast<size_t>(seed >> 33) % most;
    found.Take(stream.Push(answer.substr(at, size)));
    at += size;
  }
  found.Take(stream.Finish());
  return found;
}

/// The text before the first call that ends, and all that belongs to its form; "" if there is none.
inline std::string UpToFirstCall(std::string_view answer) {
  ToolStream stream;
  for (size_t i = 0; i < answer.size(); ++i) {
    for (const ToolCallPiece& piece : stream.Push(answer.substr(i, 1)).calls)
      if (piece.ends) return std::string(answer.substr(0, i + 1)) + stream.closing();
  }
  return "";
}

inline void FuzzToolCalls(std::string_view answer) {
  const FoundCalls found = CallsInPieces(answer, 0, 1);
  const uint64_t seed = Hash(answer);
  for (const size_t most : {size_t{3}, size_t{40}, answer.size() + 1})
    Demand(CallsInPieces(answer, seed, most) == found);

  std::vector<ToolCall> right;
  for (const ToolCall& call : found.calls)
    if (call.whole && ParseText(call.arguments).is_object()) right.push_back(call);
  FoundCalls again = CallsInPieces(AnswerWithCalls("", right), seed, 9);
  again.text.clear();  // the blanks between them
  Demand(again == FoundCalls{"", right});

  const FoundCalls first = CallsInPieces(UpToFirstCall(answer), seed, 9);
  for (size_t i = 0; i < found.calls.size(); ++i) {
    if (!found.calls[i].whole) continue;
    Demand(first == FoundCalls{first.text,
                               {found.calls.begin(), found.calls.begin() + static_cast<ptrdiff_t>(i) + 1}});
    Demand(found.text.starts_with(first.text));
    return;
  }
  Demand(first == FoundCalls{});
}

}  // namespace linnet

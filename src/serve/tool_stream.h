// ToolStream: finds the calls of tools (serve/tools.h) in an answer as it comes. What is a call:
//
//   - an object, or several, alone or in a list, in a block that ```json begins and ``` ends;
//   - an object that the answer begins with, whatever blanks stand before it.
//
// Where the line to text is. An object that begins {"name": "f", "arguments": { is a call from this brace on,
// as clients want to see arguments while they are written; they are the bytes up to the brace that closes
// them, right or wrong JSON, and stay a call if the answer ends before. Any other object is held back until
// its end and is a call if it is JSON with a string "name" and "arguments" that are an object or a string
// with the JSON of one, or with a "name" alone; or else it is text, and so is the rest of its block.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/utf8.h"

namespace linnet {

struct ToolCall {
  std::string name;
  std::string arguments;  // JSON of an object, unless the model erred or the call is not whole
  bool whole = false;     // all arguments have come
};

/// Part of a call: the first has its name.
struct ToolCallPiece {
  bool begins = false;
  std::string name;
  std::string arguments;  // more of them, whole characters of UTF-8
  bool ends = false;      // with these they are all there
};

/// Puts calls together. JSON of arguments that is right becomes compact.
void Append(const std::vector<ToolCallPiece>& pieces, std::vector<ToolCall>& calls);

/// Brackets of JSON from an opening one on, outside of strings.
class Brackets {
 public:
  /// The next byte; true if it closes the first bracket.
  bool Closes(char c);
  bool in_string() const { return in_string_; }

 private:
  int depth_ = 0;
  bool in_string_ = false, escaped_ = false;
};

class ToolStream {
 public:
  struct Pieces {
    std::string text;
    std::vector<ToolCallPiece> calls;
  };
  /// The next bytes, and what is now certain.
  Pieces Push(std::string_view bytes);
  /// The answer ends: what was held back.
  Pieces Finish();
  /// What is missing behind the call that has just ended: the rest of it, and of its block.
  std::string closing() const;

 private:
  enum class Part { kStart, kText, kOpening, kObject, kArguments, kRest, kBetween };

  /// Takes from what is held what is certain; false if more has to come.
  bool Step(Pieces& out);
  bool StepStart();
  bool StepText(Pieces& out);
  bool StepOpening(Pieces& out);
  bool StepObject(Pieces& out);
  bool StepArguments(Pieces& out);
  bool StepRest();
  bool StepBetween();

  std::string Take(size_t bytes);
  void BeginObject();
  bool BecomeText(Pieces& out);

  Part part_ = Part::kStart;
  bool in_block_ = false, in_list_ = false;
  std::string before_;  // the object that is held: text if that is none
  std::string held_;
  // Of the object:
  Brackets brackets_;
  size_t scanned_ = 0;        // of what is held
  bool other_order_ = false;  // it does not begin as most calls do
  bool skips_ = false;        // further members of it, after the arguments
  Utf8Stream characters_{Utf8Stream::Mode::kValid};
};

}  // namespace linnet

// Where the messages of a chat come from: a person at a terminal, with a line editor and its history, or a
// pipe or file, line by line.
#pragma once

#include <optional>
#include <string>

namespace linnet {

class MessageReader {
 public:
  /// Reads standard input; `edits`: it is a terminal.
  explicit MessageReader(bool edits);

  /// The next message. Lines that end in a backslash are continued, and lines that are pasted at once are one
  /// message; they are joined by line ends. Nothing at the end of the input or after Ctrl-C. `prompt` is
  /// shown on a terminal, where what was typed before it was shown is dropped.
  std::optional<std::string> Next(const std::string& prompt);

 private:
  std::optional<std::string> Line(const std::string& prompt) const;

  bool edits_;
};

}  // namespace linnet

// What a command draws on a terminal, and what it writes instead where there is none.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace linnet {

/// Columns of the terminal behind `out`; 80 where that is unknown.
int TerminalColumns(std::FILE* out);
/// Whether the locale's characters are UTF-8.
bool LocaleIsUtf8();
/// 1234567 -> "1,234,567"; not for negative numbers.
std::string WithCommas(int64_t number);
/// 3723 seconds -> "1:02:03", 83 -> "1:23"
std::string ClockTime(double seconds);

/// Text from a file, fit for a terminal: whole characters, no control codes.
std::string Printable(std::string_view text);

/// Prints to stdout a line for each label and its text, the texts below each other.
void PrintLabelled(const std::vector<std::pair<std::string, std::string>>& lines);

/// A line that is drawn again and again in the same place. In a pipe or file, where there is no such place,
/// it becomes a plain line now and then.
class ProgressLine {
 public:
  explicit ProgressLine(std::FILE* out);
  /// Leaves the line as it was drawn last.
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  /// Replaces the line, ten times a second at most. `text` is ASCII and is cut to the terminal's width.
  void Show(const std::string& text);
  /// Replaces the line at once and leaves it there: it was the last.
  void Finish(const std::string& text);
  /// Prints `text` as a line of its own, above the one that is redrawn.
  void Print(const std::string& text);

 private:
  using Clock = std::chrono::steady_clock;
  void Draw(const std::string& text);
  void Erase();

  std::FILE* out_;
  bool live_;           // a terminal that understands escape codes
  bool drawn_ = false;  // there is a line without its end on the terminal
  bool shown_ = false;
  Clock::time_point last_;
};

}  // namespace linnet

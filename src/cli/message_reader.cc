#include "cli/message_reader.h"

#include <editline/readline.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <clocale>
#include <cstdlib>
#include <iostream>
#include <memory>

namespace linnet {
namespace {

/// Whether more input has come already: nobody types that fast, so it was pasted.
bool MoreIsThere() {
  constexpr int kWaitMs = 10;
  pollfd input{STDIN_FILENO, POLLIN, 0};
  return poll(&input, 1, kWaitMs) > 0 && (input.revents & POLLIN) != 0;
}

}  // namespace

MessageReader::MessageReader(bool edits) : edits_(edits) {
  if (!edits_) return;
  std::setlocale(LC_CTYPE, "");  // which bytes are one character
  using_history();
}

std::optional<std::string> MessageReader::Line(const std::string& prompt) const {
  if (edits_) {
    const std::unique_ptr<char, decltype(&std::free)> line(readline(prompt.c_str()), &std::free);
    return line == nullptr ? std::nullopt : std::optional<std::string>(line.get());
  }
  std::string line;
  if (!std::getline(std::cin, line)) return std::nullopt;
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

std::optional<std::string> MessageReader::Next(const std::string& prompt) {
  if (edits_) tcflush(STDIN_FILENO, TCIFLUSH);  // what was typed while an answer came would seem pasted
  std::optional<std::string> message = Line(prompt);
  if (!message) return std::nullopt;
  for (;;) {
    const bool continued = message->ends_with('\\');
    if (continued) message->pop_back();
    if (!continued && !(edits_ && MoreIsThere())) break;
    const auto line = Line(continued ? "... " : "");
    if (!line) break;
    *message += '\n' + *line;
  }
  if (edits_ && message->find_first_not_of(" \t\n") != std::string::npos) add_history(message->c_str());
  return message;
}

}  // namespace linnet

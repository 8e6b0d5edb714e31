#include "cli/answer_printer.h"

#include <unistd.h>

#include <cstdio>

#include "base/check.h"

namespace linnet {
namespace {

Utf8Stream::Mode ModeFor(ChatOutput output) {
  switch (output) {
    case ChatOutput::kTerminal:
      return Utf8Stream::Mode::kTerminal;
    case ChatOutput::kPlain:
      return isatty(STDOUT_FILENO) != 0 ? Utf8Stream::Mode::kTerminal : Utf8Stream::Mode::kRaw;
    case ChatOutput::kJson:
      return Utf8Stream::Mode::kValid;
  }
  return Utf8Stream::Mode::kValid;
}

void Put(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  Check(std::fflush(stdout) == 0, "standard output: writing failed");
}

}  // namespace

AnswerPrinter::AnswerPrinter(ChatOutput output, const ChatTemplate& chat, std::string_view said)
    : output_(output), trims_(chat.clean), splits_(chat.thinks), utf8_(ModeFor(output)) {
  if (!splits_) {
    begun_ = !said.empty();
    return;
  }
  const auto before = thoughts_.Push(said);
  begun_ = !before.answer.empty();
}

void AnswerPrinter::Push(std::string_view piece) {
  const std::string text = utf8_.Push(piece);
  Take(splits_ ? thoughts_.Push(text) : ThoughtStream::Pieces{"", text});
}

void AnswerPrinter::Take(const ThoughtStream::Pieces& pieces) {
  if (!pieces.thought.empty()) ShowThought(pieces.thought);
  if (!pieces.answer.empty()) ShowAnswer(pieces.answer);
}

void AnswerPrinter::ShowThought(const std::string& text) {
  thought_ += text;
  if (output_ != ChatOutput::kTerminal) return;
  Put((thinking_ ? "" : "\x1b[2m") + text);
  thinking_ = true;
}

void AnswerPrinter::ShowAnswer(std::string text) {
  if (!begun_ && trims_) text.erase(0, text.find_first_not_of(" \t\n"));
  if (text.empty()) return;
  begun_ = true;
  answer_ += text;
  if (output_ == ChatOutput::kJson) return;
  Put((thinking_ ? "\x1b[0m\n" : "") + text);
  thinking_ = false;
}

void AnswerPrinter::Finish() {
  const std::string rest = utf8_.Finish();
  Take(splits_ ? thoughts_.Push(rest) : ThoughtStream::Pieces{"", rest});
  if (splits_) Take(thoughts_.Finish());
  if (output_ != ChatOutput::kJson) Put(thinking_ ? "\x1b[0m\n" : "\n");
  thinking_ = false;
}

}  // namespace linnet

// Shows an answer as it comes: whole characters, without the blank that every answer begins with, thoughts
// apart from what is said.
#pragma once

#include <string>
#include <string_view>

#include "text/chat.h"
#include "text/utf8.h"

namespace linnet {

enum class ChatOutput {
  kTerminal,  // thoughts dimmed, no control codes from the model
  kPlain,     // the answer alone
  kJson,      // nothing at once: whoever wants it asks for it
};

class AnswerPrinter {
 public:
  /// `said` is how the answer began, before what will be pushed; it is not shown again.
  AnswerPrinter(ChatOutput output, const ChatTemplate& chat, std::string_view said);

  void Push(std::string_view piece);
  /// The answer ends, and its last line with it.
  void Finish();

  /// What was pushed, as valid UTF-8.
  const std::string& thought() const { return thought_; }
  const std::string& answer() const { return answer_; }

 private:
  void Take(const ThoughtStream::Pieces& pieces);
  void ShowThought(const std::string& text);
  void ShowAnswer(std::string text);

  ChatOutput output_;
  bool trims_;
  bool splits_;  // the answer begins with a thought
  ThoughtStream thoughts_;
  Utf8Stream utf8_;
  std::string thought_, answer_;
  bool thinking_ = false, begun_ = false;
};

}  // namespace linnet

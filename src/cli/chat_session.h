// What happens to each line of a chat: a message is answered, a command is carried out.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/answer_printer.h"
#include "infer/conversation.h"
#include "text/chat.h"

namespace linnet {

struct ChatSettings {
  const ChatTemplate* chat = nullptr;
  const ThinkForm* think = nullptr;
  std::optional<std::string> system;
  SamplerOptions sampler;
  int64_t max_tokens = 1000;
  uint64_t seed = 0;               // of the first answer; each further one takes the next
  std::vector<std::string> stops;  // besides those of the template
  ChatOutput output = ChatOutput::kPlain;
  bool stats = false;
};

class ChatSession {
 public:
  /// Both must outlive the session. `start`: a state to begin with.
  ChatSession(const LoadedModel& model, const Tokenizer& tokenizer, ChatSettings settings,
              std::optional<Snapshot> start);

  /// Carries out one line. False if it was a wish to leave. Throws Error if it cannot be done; the session is
  /// then as before.
  bool Handle(const std::string& line);
  /// Says `message`, whatever it looks like.
  void Ask(const std::string& message);
  /// A conversation that /save wrote, in place of this one.
  void Load(const std::string& path);
  /// What a person is shown before the message: "User: ".
  std::string prompt() const;
  /// Where the conversation stands.
  std::optional<Snapshot> Position() { return talk_.Position(); }

 private:
  struct Command;
  static const Command kCommands[];
  static const Command* Find(std::string_view name);

  /// A conversation of no further consequence: one question and its answers.
  void Aside(const std::string& chat, const std::string& message);
  /// Runs an answer of `in`, showing it. `said`: what the answer already consists of.
  template <class Run>
  void Answer(Conversation& in, std::string_view message, std::string_view said, const Run& run);
  void Report(const Generation& result, const AnswerPrinter& printer);
  /// A word to the user that is no part of the conversation.
  void Say(const std::string& text) const;
  void ShowTurn(const Conversation& in, const Conversation::Turn& turn) const;
  Conversation& Latest() { return aside_ ? *aside_ : talk_; }
  Conversation NewTalk() const;

  void Help(const std::string& argument);
  void Retry(const std::string& argument);
  void More(const std::string& argument);
  void Undo(const std::string& argument);
  void Reset(const std::string& argument);
  void History(const std::string& argument);
  void Question(const std::string& argument);
  void Instruct(const std::string& argument);
  void Free(const std::string& argument);
  void Set(const std::string& argument);
  void Think(const std::string& argument);
  void System(const std::string& argument);
  void Template(const std::string& argument);
  void Save(const std::string& argument);
  void LoadCommand(const std::string& argument) { Load(argument); }

  const LoadedModel& model_;
  const Tokenizer& tokenizer_;
  ChatSettings settings_;
  std::optional<Snapshot> start_;
  Conversation talk_;
  std::optional<Conversation> aside_;  // if it was the latest to answer
};

}  // namespace linnet

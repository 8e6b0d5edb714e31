// Conversation: turns between a user and a model, with the place in the text after each of them kept, so that
// going back is instant however long the conversation has become. What a recurrent model knows of all that
// was said is one state; nothing is ever read twice to go on.
//
// The text that the model has seen is opening + (prompt + answer) of every turn, to the byte: stop strings
// are taken back (infer/generator.h), and what separates two turns stands at the beginning of the second
// one's prompt, where the tokenizer sees what follows it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "infer/generator.h"
#include "text/chat.h"

namespace linnet {

class Conversation {
 public:
  struct Turn {
    std::string message;  // as the user said it
    std::string prompt;   // what the model read: the message in the form of the template
    std::string answer;   // what it then wrote, blanks at its ends included
    Generation::End end;  // how the answer ended
  };

  /// All three must outlive the conversation. `system`: what the model should know or be; see ChatOpening.
  Conversation(const LoadedModel& model, const Tokenizer& tokenizer, const ChatTemplate& chat,
               const std::optional<std::string>& system = {});
  /// Begins where a text stands: a state from a file.
  Conversation(const LoadedModel& model, const Tokenizer& tokenizer, const ChatTemplate& chat,
               Snapshot start);

  const ChatTemplate& chat() const { return *chat_; }
  const std::string& opening() const { return opening_; }
  const std::vector<Turn>& turns() const { return turns_; }
  /// Everything that the model has seen since the beginning.
  std::string text() const;

  /// Says something and has it answered. Of the options, stop strings are added to the template's, and the
  /// fields that Generate() uses to go on from a place are the conversation's own. Nothing, and there is no
  /// new turn, if it was interrupted before the model had read it all. Throws Error as Generate().
  std::optional<Generation> Ask(std::string_view message, const ThinkForm& think, GenerateOptions options);
  /// Another answer to the last message, in place of the one it got. Throws Error if there is none.
  std::optional<Generation> Retry(GenerateOptions options);
  /// Goes on with the last answer, whose `end` becomes that of the longer one. Throws Error if there is none.
  std::optional<Generation> Continue(GenerateOptions options);
  /// Takes back the last turns, at most `count`; returns how many.
  int Undo(int count);
  /// Takes back all of them.
  void Reset() { Undo(static_cast<int>(turns_.size())); }

  /// Where the text stands. Reads what has not been read yet; nothing if that was interrupted.
  std::optional<Snapshot> Position(const GenerateOptions& options = {});

  /// The turns as JSON, which FromJson reads.
  std::string ToJson() const;
  /// A conversation as ToJson wrote it. `position`, if there is one, is where it stands; else the model reads
  /// all of it once more when needed. Throws Error, starting with `name`, if the JSON is not such a
  /// conversation.
  static Conversation FromJson(const LoadedModel& model, const Tokenizer& tokenizer, const std::string& name,
                               const std::string& json, std::optional<Snapshot> position);

 private:
  /// The place after so many turns; reads what is not known. Nothing if interrupted.
  const Snapshot* After(size_t turns, const GenerateOptions& options);
  /// Reads `text` after `from`.
  std::optional<Snapshot> Read(const Snapshot& from, const std::string& text, const GenerateOptions& options);
  /// Answers the last turn's prompt from `asked_`, or goes on from `from` if that is given.
  Generation Answer(GenerateOptions options, const Snapshot& from);

  const LoadedModel* model_;
  const Tokenizer* tokenizer_;
  const ChatTemplate* chat_;
  std::string opening_;
  bool fresh_ = true;  // no text comes before the opening
  std::vector<Turn> turns_;
  /// Where the text stood before it began, after the opening, and after each turn; empty where not known.
  Snapshot begin_;
  std::vector<Snapshot> after_;  // turns + 1
  Snapshot asked_;               // before the last turn's answer; empty if not known
};

}  // namespace linnet

// Chat templates: how a conversation is written down for a model that was trained on conversations. A
// template is data, and a conversation is
//
//   opening or system text, end,  user message assistant answer, end,  user message assistant answer, ...
//
// Sources of the formats: ChatRWKV (v2/chat.py, API_DEMO_CHAT.py), the list of templates that comes with the
// RWKV-7 G1 models, and data/howto.jsonl of this project.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace linnet {

/// The sampling that is usual for a kind of model.
struct ChatSampling {
  double temperature, top_p, presence_penalty, frequency_penalty;
};

struct ChatTemplate {
  std::string_view name;   // --template
  std::string_view title;  // for people
  /// Before a system text. The text takes the place of the opening.
  std::string_view system;
  std::string_view opening;    // what a conversation without a system text begins with; may be empty
  std::string_view user;       // before a message
  std::string_view assistant;  // between a message and its answer
  std::string_view end;        // between an answer and the next message
  /// Texts at which an answer ends, besides the end-of-text token; empty ones do not count.
  std::string_view stops[2];
  bool clean;   // messages go through CleanMessage
  bool thinks;  // the model knows the ThinkForms
  ChatSampling sampling;
};

std::span<const ChatTemplate> ChatTemplates();
/// Throws Error, listing the known ones, if there is none of that name.
const ChatTemplate& FindChatTemplate(std::string_view name);

/// What tells which template a model was trained on.
struct ChatModelTraits {
  std::string architecture, tokenizer;  // their names
  int64_t vocab = 0;
  std::string file_name;
  std::string declared;  // the metadatum "chat_template" of the file, if it has one
};

/// The template of a model. Throws Error if it declares one that is not known.
const ChatTemplate& ChatTemplateOf(const ChatModelTraits& traits);

/// How a model is asked to think, or not, before it answers (RWKV-7 G1).
struct ThinkForm {
  std::string_view name;
  std::string_view title;
  std::string_view after_message;
  std::string_view before_answer;
};

std::span<const ThinkForm> ThinkForms();
/// Throws Error, listing the known ones, if there is none of that name.
const ThinkForm& FindThinkForm(std::string_view name);

/// A message as models saw them in training: "\r\n" becomes "\n", an empty line, which would end the turn, is
/// closed up, and blanks at both ends go.
std::string CleanMessage(std::string_view message);

/// What a conversation begins with, without the `end` after it; may be empty. A system text that is given but
/// empty leaves out the opening, too.
std::string ChatOpening(const ChatTemplate& chat, const std::optional<std::string>& system);
/// What a model reads before it answers. `first`: nothing stands before it.
std::string ChatPrompt(const ChatTemplate& chat, std::string_view message, const ThinkForm& think,
                       bool first);
std::vector<std::string> ChatStops(const ChatTemplate& chat);

/// Splits an answer that begins with what the think form put before it ("<think" ...) into thought and
/// answer, as it comes; the tags and the blanks around them belong to neither.
class ThoughtStream {
 public:
  struct Pieces {
    std::string thought, answer;
  };
  /// The next bytes, and what is now certain.
  Pieces Push(std::string_view bytes);
  /// The stream ends: what was held back.
  Pieces Finish();

 private:
  enum class Part { kStart, kThought, kBlanks, kAnswer };
  Part part_ = Part::kStart;
  std::string held_;
};

}  // namespace linnet

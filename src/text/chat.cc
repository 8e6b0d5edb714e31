#include "text/chat.h"

#include <algorithm>
#include <cctype>
#include <regex>

#include "base/check.h"

namespace linnet {
namespace {

/// Tokens of the models trained with the World vocabulary and with GPT-NeoX's.
constexpr int64_t kWorldVocab = 65536, kPileVocab = 50277;

constexpr std::string_view kThinkTag = "<think>", kThinkEnd = "</think>";

constexpr ChatTemplate kTemplates[] = {
    {.name = "g1",
     .title = "RWKV-7 G1: User and Assistant, thinks if asked to",
     .system = "System: ",
     .opening = "",
     .user = "User: ",
     .assistant = "\n\nAssistant:",
     .end = "\n\n",
     .stops = {"\n\nUser:", "\n\nSystem:"},  // answers may have several paragraphs
     .clean = true,
     .thinks = true,
     .sampling = {1, 0.3, 0.5, 0.5}},
    {.name = "world",
     .title = "RWKV World: User and Assistant",
     .system = "System: ",
     .opening = "User: hi\n\nAssistant: Hello! I am your assistant. Ask me anything, and I will answer as "
                "fully and as clearly as I can.",
     .user = "User: ",
     .assistant = "\n\nAssistant:",
     .end = "\n\n",
     .stops = {"\n\n", ""},
     .clean = true,
     .thinks = false,
     .sampling = {1, 0.3, 0.5, 0.5}},
    {.name = "raven",
     .title = "RWKV-4 Raven and Pile: Bob and Alice",
     .system = "\n",
     .opening = "\nThis is a conversation between two friends, Bob and Alice. Alice knows a great deal, is "
                "honest and kind, and explains things to Bob in detail.\n\n"
                "Bob: Hello Alice, nice to see you.\n\n"
                "Alice: Hi Bob! It is good to see you, too. What would you like to talk about?",
     .user = "Bob: ",
     .assistant = "\n\nAlice:",
     .end = "\n\n",
     .stops = {"\n\n", ""},
     .clean = true,
     .thinks = false,
     .sampling = {1.2, 0.5, 0.4, 0.4}},
    {.name = "instruct",
     .title = "RWKV-4 Raven: one instruction, one response",
     .system = "\n",
     .opening = "",
     .user = "\nBelow is an instruction that describes a task. Write a response that appropriately completes "
             "the request.\n\n# Instruction:\n",
     .assistant = "\n\n# Response:\n",
     .end = "\n\n",
     .stops = {"\n# Instruction:", ""},
     .clean = true,
     .thinks = false,
     .sampling = {1.2, 0.5, 0.4, 0.4}},
    {.name = "qa",
     .title = "models of plain text: Q and A",
     .system = "\n",
     .opening = "",
     .user = "\nQ: ",
     .assistant = "\nA:",
     .end = "\n",
     .stops = {"\nQ:", "\n\n"},
     .clean = true,
     .thinks = false,
     .sampling = {1.2, 0.5, 0.4, 0.4}},
    {.name = "question",
     .title = "models trained on linnet's own corpus: Question and Answer",
     .system = "",
     .opening = "",
     .user = "Question: ",
     .assistant = "\nAnswer:",
     .end = "\n\n",
     .stops = {"\n\n", ""},
     .clean = true,
     .thinks = false,
     .sampling = {0.7, 0.85, 0, 0}},
    {.name = "plain",
     .title = "any model: the text as it is, which the model continues",
     .system = "",
     .opening = "",
     .user = "",
     .assistant = "",
     .end = "",
     .stops = {"", ""},
     .clean = false,
     .thinks = false,
     .sampling = {1, 0.85, 0, 0}},
};

constexpr ThinkForm kThinkForms[] = {
    {"off", "answers at once", "", ""},
    {"on", "thinks first, as long as it likes", "", " <think"},
    {"short", "thinks a bit first", " (think a bit)", " <think"},
    {"medium", "thinks first", " (think)", " <think"},
    {"long", "thinks a lot first", " (think a lot)", " <think"},
    {"fast", "answers at once, after an empty thought", "", " <think>\n</think"},
    {"none", "answers at once, after a thought without even a line end", "", " <think></think"},
};

/// The row of that name; Error if there is none.
template <class Row, size_t N>
const Row& Find(const Row (&rows)[N], std::string_view name, const char* what) {
  std::string known;
  for (const Row& row : rows) {
    if (row.name == name) return row;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  Fail("there is no {} '{}'; known are: {}", what, name, known);
}

bool IsBlank(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

}  // namespace

std::span<const ChatTemplate> ChatTemplates() { return kTemplates; }
std::span<const ThinkForm> ThinkForms() { return kThinkForms; }

const ChatTemplate& FindChatTemplate(std::string_view name) {
  return Find(kTemplates, name, "chat template");
}

const ThinkForm& FindThinkForm(std::string_view name) { return Find(kThinkForms, name, "way to think"); }

const ChatTemplate& ChatTemplateOf(const ChatModelTraits& traits) {
  if (!traits.declared.empty()) return FindChatTemplate(traits.declared);
  if (traits.tokenizer == "bytes") return FindChatTemplate("question");
  const auto named = [&](const char* pattern) {
    return std::regex_search(traits.file_name, std::regex(pattern, std::regex::icase));
  };
  if (traits.tokenizer == "world" || traits.vocab == kWorldVocab || named("world")) {
    // "rwkv7-g1-0.1b-...", "rwkv7-g1b-1.5b-...", "rwkv7a-g1d-...", "rwkv7-g0a-...".
    const bool g1 =
        traits.architecture.starts_with("rwkv7") && named("(^|[^a-z0-9])g[0-9][a-z]?([^a-z0-9]|$)");
    return FindChatTemplate(g1 ? "g1" : "world");
  }
  const bool pile = traits.tokenizer == "20B" || traits.vocab == kPileVocab || named("raven|pile");
  return FindChatTemplate(pile ? "raven" : "plain");
}

std::string CleanMessage(std::string_view message) {
  std::string clean;
  for (size_t i = 0; i < message.size(); ++i) {
    if (message.substr(i, 2) == "\r\n") continue;
    if (message[i] == '\n' && clean.ends_with('\n')) continue;
    clean += message[i];
  }
  const auto begin = std::find_if_not(clean.begin(), clean.end(), IsBlank);
  const auto end = std::find_if_not(clean.rbegin(), std::make_reverse_iterator(begin), IsBlank).base();
  return {begin, end};
}

std::string ChatOpening(const ChatTemplate& chat, const std::optional<std::string>& system) {
  if (!system) return std::string(chat.opening);
  const std::string text = chat.clean ? CleanMessage(*system) : *system;
  return text.empty() ? "" : std::string(chat.system) + text;
}

std::string ChatPrompt(const ChatTemplate& chat, std::string_view message, const ThinkForm& think,
                       bool first) {
  std::string prompt(first ? "" : chat.end);
  prompt += chat.user;
  prompt += chat.clean ? CleanMessage(message) : std::string(message);
  prompt += think.after_message;
  prompt += chat.assistant;
  prompt += think.before_answer;
  return prompt;
}

std::vector<std::string> ChatStops(const ChatTemplate& chat) {
  std::vector<std::string> stops;
  for (const std::string_view stop : chat.stops) {
    if (!stop.empty()) stops.emplace_back(stop);
  }
  return stops;
}

ThoughtStream::Pieces ThoughtStream::Push(std::string_view bytes) {
  Pieces pieces;
  held_ += bytes;
  const auto skip_blanks = [&] {
    held_.erase(held_.begin(), std::find_if_not(held_.begin(), held_.end(), IsBlank));
    return !held_.empty();
  };
  if (part_ == Part::kStart && skip_blanks()) {
    if (held_.starts_with(kThinkTag)) {
      held_.erase(0, kThinkTag.size());
      part_ = Part::kThought;
    } else if (!kThinkTag.starts_with(held_)) {
      part_ = Part::kAnswer;
    }
  }
  if (part_ == Part::kThought) {
    size_t end = held_.find(kThinkEnd);
    const bool ended = end != std::string::npos;
    if (!ended) {  // all but what may be the start of the tag
      end = held_.size() - std::min(held_.size(), kThinkEnd.size() - 1);
      while (!kThinkEnd.starts_with(std::string_view(held_).substr(end))) ++end;
    }
    pieces.thought = held_.substr(0, end);
    held_.erase(0, end + (ended ? kThinkEnd.size() : 0));
    if (ended) part_ = Part::kBlanks;
  }
  if (part_ == Part::kBlanks && skip_blanks()) part_ = Part::kAnswer;
  if (part_ == Part::kAnswer) std::swap(pieces.answer, held_);
  return pieces;
}

ThoughtStream::Pieces ThoughtStream::Finish() {
  Pieces pieces;
  std::swap(part_ == Part::kThought ? pieces.thought : pieces.answer, held_);
  return pieces;
}

}  // namespace linnet

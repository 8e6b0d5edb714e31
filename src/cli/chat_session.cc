#include "cli/chat_session.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "cli/interrupt.h"
#include "cli/model_options.h"
#include "cli/sampling_options.h"
#include "cli/terminal.h"
#include "nn/state_file.h"

namespace linnet {
namespace {

constexpr const char* kNote = "conversation";  // of a state file: the turns as JSON

/// The role before a message or an answer, as a person is shown it: "User:". Empty where there is none to
/// show.
std::string Label(std::string_view role) {
  const size_t begin = role.find_first_not_of(" \n");
  if (begin == std::string_view::npos) return "";
  const std::string label(role.substr(begin, role.find_last_not_of(" \n") + 1 - begin));
  return label.find('\n') == std::string::npos ? label : "";
}

/// What the think form put at the beginning of an answer, which stands at the end of the prompt.
std::string_view Begun(const ChatTemplate& chat, const Conversation::Turn& turn) {
  const size_t at = turn.prompt.rfind(chat.assistant);
  if (at == std::string::npos) return "";  // from a file that somebody wrote by hand
  return std::string_view(turn.prompt).substr(at + chat.assistant.size());
}

/// The text with nothing in it that a terminal would obey: a file may have brought it.
std::string Harmless(const std::string& text) {
  Utf8Stream stream(Utf8Stream::Mode::kTerminal);
  const std::string harmless = stream.Push(text);
  return harmless + stream.Finish();
}

std::string Turns(size_t count) { return count == 1 ? "1 turn" : fmt::format("{} turns", count); }

int Number(const std::string& text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  Check(error == std::errc() && end == text.data() + text.size() && number > 0,
        "'{}' is not a number above 0", text);
  return number;
}

void NeedsText(const std::string& argument, const char* what) {
  Check(!argument.empty(), "{} is missing; /help shows how it is written", what);
}

/// Splits "set top-p 0.5" at its first blank.
std::pair<std::string, std::string> SplitWord(const std::string& text) {
  const size_t end = std::min(text.size(), text.find_first_of(" \t\n"));
  const size_t rest = std::min(text.size(), text.find_first_not_of(" \t\n", end));
  return {text.substr(0, end), text.substr(rest)};
}

}  // namespace

struct ChatSession::Command {
  std::string_view name, alias;  // the alias is ChatRWKV's
  const char* argument;
  const char* help;
  void (ChatSession::*run)(const std::string& argument);  // null: leave
};

const ChatSession::Command ChatSession::kCommands[] = {
    {"help", "help", "", "this list", &ChatSession::Help},
    {"retry", "", "", "another answer to the last message", &ChatSession::Retry},
    {"more", "++", "", "go on with the last answer", &ChatSession::More},
    {"undo", "", "[N]", "take back the last turn, or the last N", &ChatSession::Undo},
    {"reset", "reset", "", "take back all of them", &ChatSession::Reset},
    {"history", "", "", "show what was said", &ChatSession::History},
    {"ask", "qa", "TEXT", "a question that does not become part of the conversation", &ChatSession::Question},
    {"do", "i", "TEXT", "an instruction, in the form of Raven models, that does not either",
     &ChatSession::Instruct},
    {"gen", "gen", "TEXT", "continue a text freely; /retry and /more then work on it", &ChatSession::Free},
    {"set", "", "[NAME VALUE]", "show the settings, or change one: /set top-p 0.5", &ChatSession::Set},
    {"think", "", "[FORM]", "show how the model may think, or choose", &ChatSession::Think},
    {"system", "", "[TEXT]", "begin anew with this system text, or without any", &ChatSession::System},
    {"template", "", "[NAME]", "show the templates, or begin anew with one", &ChatSession::Template},
    {"save", "", "FILE", "write the conversation and its state to a file", &ChatSession::Save},
    {"load", "", "FILE", "go on with one from a file", &ChatSession::LoadCommand},
    {"quit", "", "", "leave, as Ctrl-D does", nullptr},
};

const ChatSession::Command* ChatSession::Find(std::string_view line) {
  for (const Command& command : kCommands) {
    const std::string_view name = line.substr(1);
    if (line[0] == '/' ? name == command.name : (!command.alias.empty() && name == command.alias))
      return &command;
  }
  return nullptr;
}

ChatSession::ChatSession(const LoadedModel& model, const Tokenizer& tokenizer, ChatSettings settings,
                         std::optional<Snapshot> start)
    : model_(model),
      tokenizer_(tokenizer),
      settings_(std::move(settings)),
      start_(std::move(start)),
      talk_(NewTalk()) {}

Conversation ChatSession::NewTalk() const {
  if (start_) return {model_, tokenizer_, *settings_.chat, *start_};
  return {model_, tokenizer_, *settings_.chat, settings_.system};
}

std::string ChatSession::prompt() const {
  const std::string label = Label(settings_.chat->user);
  return (label.empty() ? ">" : label) + " ";
}

bool ChatSession::Handle(const std::string& line) {
  if (line.find_first_not_of(" \t\n") == std::string::npos) return true;
  if (line.starts_with("//")) {  // a message that begins with a slash
    Ask(line.substr(1));
    return true;
  }
  if (line == "+" || line == "++") {  // as ChatRWKV has it
    Retry("");
    return true;
  }
  const auto [word, argument] = SplitWord(line);
  const bool command_like = word[0] == '/' || word[0] == '+';
  const Command* command = command_like ? Find(word) : nullptr;
  Check(command != nullptr || word[0] != '/',
        "there is no command {}; /help shows all, and // begins a message with a slash", word);
  if (command == nullptr) {
    Ask(line);
  } else if (command->run == nullptr) {
    return false;
  } else {
    (this->*command->run)(argument);
  }
  return true;
}

void ChatSession::Say(const std::string& text) const {
  fmt::print(settings_.output == ChatOutput::kTerminal ? stdout : stderr, "{}\n", text);
}

template <class Run>
void ChatSession::Answer(Conversation& in, std::string_view message, std::string_view said, const Run& run) {
  const ChatTemplate& chat = in.chat();
  AnswerPrinter printer(settings_.output, chat, said);
  Progress reading("reading what was said");
  const auto to_read = static_cast<int64_t>(tokenizer_.Encode(message).size());
  bool begun = false;
  const auto begin = [&] {
    reading.Clear();
    const std::string label = Label(chat.assistant);
    if (!begun && !message.empty() && settings_.output == ChatOutput::kTerminal && !label.empty())
      fmt::print("{} ", label);
    begun = true;
  };
  GenerateOptions options;
  options.max_tokens = settings_.max_tokens;
  options.sampler = settings_.sampler;
  options.seed = settings_.seed++;
  options.stops = settings_.stops;
  options.interrupted = &CatchInterrupts();
  options.on_text = [&](std::string_view piece) {
    begin();
    printer.Push(piece);
  };
  options.on_progress = [&](int64_t read, int64_t) {
    if (!begun) reading.Update(read, std::max(read, to_read));
  };
  CatchInterrupts() = false;
  const std::optional<Generation> result = run(std::move(options));
  if (!result) {
    reading.Clear();
    return Say("(stopped before it was read; nothing was said)");
  }
  begin();
  printer.Finish();
  Report(*result, printer);
}

void ChatSession::Report(const Generation& result, const AnswerPrinter& printer) {
  if (settings_.output == ChatOutput::kJson) {
    nlohmann::ordered_json object = {{"answer", printer.answer()}};
    if (!printer.thought().empty()) object["thought"] = printer.thought();
    object.update({{"end", EndName(result.end)},
                   {"tokens", result.tokens},
                   {"tokens_per_s", result.tokens_per_second()},
                   {"seed", settings_.seed - 1}});
    fmt::print("{}\n", object.dump());
  }
  std::fflush(stdout);
  if (settings_.output == ChatOutput::kTerminal) {
    if (result.end == Generation::End::kLength) Say("(cut off; /more goes on, /set tokens N allows more)");
    if (result.end == Generation::End::kInterrupted) Say("(stopped; /more goes on)");
  }
  if (settings_.stats)
    fmt::print(stderr, "{} tokens, {:.1f} tokens/s; ended by: {}; seed {}\n", result.tokens,
               result.tokens_per_second(), EndName(result.end), settings_.seed - 1);
}

void ChatSession::Ask(const std::string& message) {
  aside_.reset();
  Answer(talk_, message, settings_.think->before_answer,
         [&](GenerateOptions options) { return talk_.Ask(message, *settings_.think, std::move(options)); });
}

void ChatSession::Aside(const std::string& chat, const std::string& message) {
  NeedsText(message, "the text");
  const bool same = chat == settings_.chat->name;
  const ThinkForm& think = same ? *settings_.think : FindThinkForm("off");
  aside_.emplace(same ? NewTalk() : Conversation(model_, tokenizer_, FindChatTemplate(chat)));
  Answer(*aside_, message, think.before_answer,
         [&](GenerateOptions options) { return aside_->Ask(message, think, std::move(options)); });
}

void ChatSession::Question(const std::string& text) { Aside(std::string(settings_.chat->name), text); }
void ChatSession::Instruct(const std::string& text) { Aside("instruct", text); }
void ChatSession::Free(const std::string& text) { Aside("plain", text); }

void ChatSession::Retry(const std::string&) {
  Conversation& in = Latest();
  Check(!in.turns().empty(), "nothing has been said yet that could be answered again");
  const Conversation::Turn& turn = in.turns().back();
  const std::string begun(Begun(in.chat(), turn));
  Answer(in, turn.message, begun, [&](GenerateOptions options) { return in.Retry(std::move(options)); });
}

void ChatSession::More(const std::string&) {
  Conversation& in = Latest();
  Check(!in.turns().empty(), "there is no answer yet to go on with");
  const Conversation::Turn& turn = in.turns().back();
  const std::string said = std::string(Begun(in.chat(), turn)) + turn.answer;
  Answer(in, "", said, [&](GenerateOptions options) { return in.Continue(std::move(options)); });
}

void ChatSession::Undo(const std::string& argument) {
  aside_.reset();
  const int gone = talk_.Undo(argument.empty() ? 1 : Number(argument));
  Say(fmt::format("({} taken back, {} left)", Turns(gone), talk_.turns().size()));
}

void ChatSession::Reset(const std::string&) {
  aside_.reset();
  talk_ = NewTalk();
  Say("(the conversation begins anew)");
}

void ChatSession::ShowTurn(const Conversation& in, const Conversation::Turn& turn) const {
  const auto line = [](const std::string& label, const std::string& text) {
    return (label.empty() ? "" : label + " ") + text;
  };
  Say(line(Label(in.chat().user), Harmless(turn.message)));
  AnswerPrinter printer(ChatOutput::kJson, in.chat(), Begun(in.chat(), turn));
  printer.Push(turn.answer);
  printer.Finish();
  Say(line(Label(in.chat().assistant), Harmless(printer.answer())));
}

void ChatSession::History(const std::string&) {
  if (talk_.turns().empty()) Say("(nothing has been said yet)");
  for (const Conversation::Turn& turn : talk_.turns()) ShowTurn(talk_, turn);
}

void ChatSession::Set(const std::string& argument) {
  if (argument.empty()) {
    Say(fmt::format("{:20} {}", "tokens", settings_.max_tokens));
    for (const auto& [name, value] : SamplingSettings(settings_.sampler))
      Say(fmt::format("{:20} {}", name, value));
    return Say(fmt::format("{:20} {}", "seed", settings_.seed));
  }
  const auto [name, value] = SplitWord(argument);
  NeedsText(value, "the value");
  if (name == "tokens") {
    settings_.max_tokens = Number(value);
  } else if (name == "seed") {
    settings_.seed = static_cast<uint64_t>(Number(value));
  } else {
    SetSampling(settings_.sampler, name, value);
  }
}

void ChatSession::Think(const std::string& argument) {
  if (argument.empty()) {
    for (const ThinkForm& form : ThinkForms())
      Say(fmt::format("{} {:8} {}", &form == settings_.think ? '*' : ' ', form.name, form.title));
    return;
  }
  const ThinkForm& form = FindThinkForm(argument);
  Check(settings_.chat->thinks || form.before_answer.empty(),
        "models of the template '{}' were not trained to think", settings_.chat->name);
  settings_.think = &form;
}

void ChatSession::System(const std::string& argument) {
  start_.reset();
  settings_.system = argument;
  Reset("");
}

void ChatSession::Template(const std::string& argument) {
  if (argument.empty()) {
    for (const ChatTemplate& chat : ChatTemplates())
      Say(fmt::format("{} {:10} {}", &chat == settings_.chat ? '*' : ' ', chat.name, chat.title));
    return;
  }
  settings_.chat = &FindChatTemplate(argument);
  if (!settings_.chat->thinks) settings_.think = &FindThinkForm("off");
  Reset("");
}

void ChatSession::Save(const std::string& argument) {
  NeedsText(argument, "the name of the file");
  const auto position = Position();
  WriteSnapshot(argument, model_, tokenizer_.name(), *position, {{kNote, talk_.ToJson()}});
  Say(fmt::format("(saved in {}: {})", argument, Turns(talk_.turns().size())));
}

void ChatSession::Load(const std::string& path) {
  NeedsText(path, "the name of the file");
  const StateFile file = ReadStateFile(path);
  const auto note = file.notes.find(kNote);
  Check(note != file.notes.end(), "{}: is a state without a conversation; --state-in goes on from it", path);
  std::optional<Snapshot> position;
  if (file.weights == Fingerprint(model_) && file.tokenizer == tokenizer_.name())
    position = ReadSnapshot(path, model_, tokenizer_.name()).snapshot;
  const bool known = position.has_value();
  talk_ = Conversation::FromJson(model_, tokenizer_, path, note->second, std::move(position));
  settings_.chat = &talk_.chat();
  if (!settings_.chat->thinks) settings_.think = &FindThinkForm("off");
  aside_.reset();
  if (settings_.output == ChatOutput::kTerminal) History("");
  if (!known) Say("(it was made with another model, so this one reads all of it before it answers)");
}

void ChatSession::Help(const std::string&) {
  for (const Command& command : kCommands) {
    const std::string alias =
        command.alias.empty() || command.alias == command.name ? "" : fmt::format(" (+{})", command.alias);
    Say(fmt::format("  {:20} {}{}", fmt::format("/{} {}", command.name, command.argument), command.help,
                    alias));
  }
  Say("A line that ends in \\ goes on in the next; pasted lines are one message. Ctrl-C stops an answer and\n"
      "keeps what was said.");
}

}  // namespace linnet

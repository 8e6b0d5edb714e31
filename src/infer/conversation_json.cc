// A conversation as JSON:
//
//   {"version": 1, "template": "g1", "opening": TEXT, "fresh": true,
//    "turns": [{"message": TEXT, "prompt": TEXT, "answer": TEXT, "end": "stop"}, ...]}
//
// TEXT is a string, or {"hex": "c3.."} where the bytes are no UTF-8: a model may stop inside a character.
// "fresh" is false where the conversation began with a state, whose text is not known.
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "infer/conversation.h"
#include "text/utf8.h"

namespace linnet {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kDigits = "0123456789abcdef";

bool IsUtf8(const std::string& text) {
  Utf8Stream stream(Utf8Stream::Mode::kValid);
  const std::string valid = stream.Push(text);
  return valid + stream.Finish() == text;
}

ordered_json TextToJson(const std::string& text) {
  if (IsUtf8(text)) return text;
  std::string hex;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    hex += {kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return {{"hex", hex}};
}

std::string TextFromJson(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  const std::string& hex = value.at("hex").get_ref<const std::string&>();
  const std::string_view digits = kDigits;
  Check(hex.size() % 2 == 0 && hex.find_first_not_of(kDigits) == std::string::npos,
        "a text is not written as hexadecimal digits");
  std::string text;
  for (size_t i = 0; i < hex.size(); i += 2)
    text += static_cast<char>(digits.find(hex[i]) * 16 + digits.find(hex[i + 1]));
  return text;
}

Generation::End EndOf(const std::string& name) {
  for (int end = 0; end < Generation::kEnds; ++end) {
    if (name == EndName(static_cast<Generation::End>(end))) return static_cast<Generation::End>(end);
  }
  Fail("an answer ends with '{}', which means nothing here", name);
}

Conversation::Turn TurnFromJson(const json& turn) {
  return {TextFromJson(turn.at("message")), TextFromJson(turn.at("prompt")), TextFromJson(turn.at("answer")),
          EndOf(turn.at("end").get_ref<const std::string&>())};
}

}  // namespace

std::string Conversation::ToJson() const {
  ordered_json turns = ordered_json::array();
  for (const Turn& turn : turns_) {
    turns.push_back({{"message", TextToJson(turn.message)},
                     {"prompt", TextToJson(turn.prompt)},
                     {"answer", TextToJson(turn.answer)},
                     {"end", EndName(turn.end)}});
  }
  return ordered_json{{"version", 1},
                      {"template", chat_->name},
                      {"opening", TextToJson(opening_)},
                      {"fresh", fresh_},
                      {"turns", std::move(turns)}}
      .dump();
}

Conversation Conversation::FromJson(const LoadedModel& model, const Tokenizer& tokenizer,
                                    const std::string& name, const std::string& text,
                                    std::optional<Snapshot> position) {
  try {
    const json all = json::parse(text);
    Check(all.at("version") == 1, "it is of version {}, this program reads 1", all.at("version").dump());
    Conversation conversation(model, tokenizer,
                              FindChatTemplate(all.at("template").get_ref<const std::string&>()));
    conversation.opening_ = TextFromJson(all.at("opening"));
    conversation.fresh_ = all.at("fresh").get<bool>();
    for (const json& turn : all.at("turns")) conversation.turns_.push_back(TurnFromJson(turn));
    conversation.after_.resize(conversation.turns_.size() + 1);
    if (!conversation.fresh_) {
      conversation.begin_ = {};
      Check(position.has_value(),
            "it began with a state that only the model it was made with can go on from");
    }
    if (position) conversation.after_.back() = std::move(*position);
    return conversation;
  } catch (const json::exception& error) {
    Fail("{}: holds no conversation: {}", name, error.what());
  } catch (const Error& error) {
    Fail("{}: the conversation in it cannot be used: {}", name, error.what());
  }
}

}  // namespace linnet

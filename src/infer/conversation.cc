#include "infer/conversation.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace linnet {
namespace {

bool Known(const Snapshot& snapshot) { return !snapshot.variables.empty(); }

}  // namespace

Conversation::Conversation(const LoadedModel& model, const Tokenizer& tokenizer, const ChatTemplate& chat,
                           const std::optional<std::string>& system)
    : model_(&model),
      tokenizer_(&tokenizer),
      chat_(&chat),
      opening_(ChatOpening(chat, system)),
      begin_{model.NewState(1).Save(0), {}, 0},
      after_(1) {}

Conversation::Conversation(const LoadedModel& model, const Tokenizer& tokenizer, const ChatTemplate& chat,
                           Snapshot start)
    : model_(&model),
      tokenizer_(&tokenizer),
      chat_(&chat),
      fresh_(start.tokens == 0),
      begin_(std::move(start)),
      after_(1) {}

std::string Conversation::text() const {
  std::string text = opening_;
  for (const Turn& turn : turns_) text += turn.prompt + turn.answer;
  return text;
}

std::optional<Snapshot> Conversation::Read(const Snapshot& from, const std::string& text,
                                           const GenerateOptions& options) {
  Snapshot to;
  GenerateOptions reading;
  reading.max_tokens = 0;
  reading.resume = &from;
  reading.snapshot = &to;
  reading.interrupted = options.interrupted;
  reading.on_progress = options.on_progress;
  Generate(*model_, *tokenizer_, tokenizer_->Encode(text), reading);
  if (!Known(to)) return std::nullopt;
  return to;
}

const Snapshot* Conversation::After(size_t turns, const GenerateOptions& options) {
  size_t known = turns + 1;
  while (known > 0 && !Known(after_[known - 1])) --known;
  for (; known <= turns; ++known) {
    const Snapshot& from = known == 0 ? begin_ : after_[known - 1];
    const std::string text = known == 0 ? opening_ : turns_[known - 1].prompt + turns_[known - 1].answer;
    // Nothing to read is not the same as an empty prompt, for which Generate takes the end-of-text token.
    auto read = text.empty() ? from : Read(from, text, options);
    if (!read) return nullptr;
    after_[known] = std::move(*read);
  }
  return &after_[turns];
}

Generation Conversation::Answer(GenerateOptions options, const Snapshot& from) {
  Turn& turn = turns_.back();
  Snapshot to;
  const auto on_text = options.on_text;
  options.on_text = [&](std::string_view piece) {
    turn.answer += piece;
    if (on_text) on_text(piece);
  };
  for (std::string& stop : ChatStops(*chat_)) options.stops.push_back(std::move(stop));
  options.resume = &from;
  options.snapshot = &to;
  const Generation result = Generate(*model_, *tokenizer_, {}, options);
  turn.end = result.end;
  after_.back() = std::move(to);
  return result;
}

std::optional<Generation> Conversation::Ask(std::string_view message, const ThinkForm& think,
                                            GenerateOptions options) {
  const Snapshot* from = After(turns_.size(), options);
  if (from == nullptr) return std::nullopt;
  const bool first = fresh_ && opening_.empty() && turns_.empty();
  std::string prompt = ChatPrompt(*chat_, message, think, first);
  auto asked = Read(*from, prompt, options);
  if (!asked) return std::nullopt;
  asked_ = std::move(*asked);
  turns_.push_back({std::string(message), std::move(prompt), "", Generation::End::kInterrupted});
  after_.emplace_back();
  return Answer(std::move(options), asked_);
}

std::optional<Generation> Conversation::Retry(GenerateOptions options) {
  Check(!turns_.empty(), "nothing has been asked yet, so there is nothing to answer again");
  if (!Known(asked_)) {
    const Snapshot* from = After(turns_.size() - 1, options);
    auto asked = from != nullptr ? Read(*from, turns_.back().prompt, options) : std::nullopt;
    if (!asked) return std::nullopt;
    asked_ = std::move(*asked);
  }
  turns_.back().answer.clear();
  after_.back() = {};
  return Answer(std::move(options), asked_);
}

std::optional<Generation> Conversation::Continue(GenerateOptions options) {
  Check(!turns_.empty(), "there is no answer yet to go on with");
  const Snapshot* from = After(turns_.size(), options);
  if (from == nullptr) return std::nullopt;
  options.said = tokenizer_->Encode(turns_.back().answer);
  return Answer(std::move(options), Snapshot(*from));
}

int Conversation::Undo(int count) {
  const size_t gone = std::min(turns_.size(), static_cast<size_t>(std::max(0, count)));
  if (gone == 0) return 0;
  const auto left = after_.begin() + static_cast<ptrdiff_t>(turns_.size() - gone);
  Check(Known(begin_) || std::any_of(after_.begin(), left + 1, Known),
        "the conversation was loaded from a file, and what came before its first turn is not in it; turns "
        "from the file cannot be taken back");
  turns_.resize(turns_.size() - gone);
  after_.resize(turns_.size() + 1);
  asked_ = {};
  return static_cast<int>(gone);
}

std::optional<Snapshot> Conversation::Position(const GenerateOptions& options) {
  const Snapshot* position = After(turns_.size(), options);
  if (position == nullptr) return std::nullopt;
  return *position;
}

}  // namespace linnet

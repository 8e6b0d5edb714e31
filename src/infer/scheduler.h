// Scheduler: generates many texts at once. Each running text has a slot of the state; a step is one forward
// pass over a packed batch of the next token of every text that is being written and of chunks of the prompts
// that are being read. A text that ends gives its slot to the next one that waits, before the next step.
//
// Reading weights from memory is most of the work of writing one text, and it is shared: eight texts take
// little more time than one.
//
// A text is the same to the bit whatever else is in the batch: each has its own sampler, its prompt is cut
// into chunks at multiples of kPrefillRows from its own beginning as Prefill() does, and the result of a row
// does not depend on the other rows of a batch.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "infer/generator.h"

namespace linnet {

/// How a text of a Scheduler ended.
struct FinishedText : Generation {
  std::vector<int> ids;  // of the tokens generated
  std::string error;     // why it could not go on; empty if nothing failed
};

/// Not for several threads: one owns it, and all functions it calls run on that thread.
class Scheduler {
 public:
  using OnEnd = std::function<void(const FinishedText& text)>;

  struct Limits {
    int slots = 8;  // texts at a time
    /// Rows of a batch, of which every text that is being written takes one. A prompt's chunk that does not
    /// fit waits for a later step, unless no other chunk is in this one.
    int rows = 2 * kPrefillRows;
  };

  /// Both must outlive the scheduler. Throws Error if a limit makes no sense.
  Scheduler(const LoadedModel& model, const Tokenizer& tokenizer, Limits limits);
  ~Scheduler();

  /// Puts a text at the end of the queue. Prompt, options and errors are those of Generate(), but for
  /// `resume` and `snapshot`, which it does not take. `on_end` is called once, in a later Step(), and may add
  /// further texts.
  void Add(std::vector<int> prompt, GenerateOptions options, OnEnd on_end);

  /// One forward pass. False if there was nothing to do. A text that fails (its logits are no numbers) ends
  /// with an error, the others go on; Error is thrown if the forward pass itself fails.
  bool Step();

  size_t waiting() const { return waiting_.size(); }
  size_t running() const { return running_.size(); }

 private:
  struct Text;

  /// Gives free slots to texts that wait.
  void Admit();
  /// Puts into the batch what each text reads next, and asks for the row after which a token can be drawn.
  /// Returns the texts that are in it, in its order.
  std::vector<Text*> Fill(Batch& batch) const;
  /// Draws the next token of a text, or notes why that failed.
  void Advance(Text& text, std::span<const float> logits) const;
  void DrawNext(Text& text, std::span<const float> logits) const;
  /// Takes out the texts that have ended.
  void Retire();

  const LoadedModel& model_;
  const Tokenizer& tokenizer_;
  Limits limits_;
  State state_;
  std::vector<int> free_slots_;
  std::deque<std::unique_ptr<Text>> waiting_;
  std::vector<std::unique_ptr<Text>> running_;  // in the order in which they were added
};

}  // namespace linnet

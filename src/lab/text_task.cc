// Text, byte by byte: every byte is to be predicted from those before it in its window. The last 5% of the
// file are the test part, the 5% before them the validation part, in windows that do not overlap.
#include <algorithm>
#include <optional>

#include "base/check.h"
#include "base/file.h"
#include "lab/kinds.h"

namespace linnet::lab {
namespace {

class Text : public Task {
 public:
  explicit Text(const TaskArguments& a) : length_(a.at("length")), most_(a.at("bytes")) {
    Check(a.files.size() == 1, "the task text takes one file with --data, {} were given", a.files.size());
    file_.emplace(a.files[0]);
    const auto size = static_cast<int64_t>(file_->bytes().size());
    const int64_t used = most_ > 0 ? std::min(most_, size) : size;
    held_out_bytes_ = used / 20;
    learnt_bytes_ = used - 2 * held_out_bytes_;
    Check(held_out_bytes_ > length_,
          "{}: a twentieth of it, {} bytes, is held out, and a window takes {}; give a longer file or a "
          "smaller "
          "length, as in text:length={}",
          a.files[0], held_out_bytes_, length_ + 1, std::max<int64_t>(1, held_out_bytes_ - 1));
  }

  int64_t vocab() const override { return 256; }
  int64_t length() const override { return length_; }
  Quality quality() const override { return Quality::kBitsPerByte; }
  int64_t held_out() const override { return (held_out_bytes_ - 1) / length_; }
  std::string Show(int token) const override {
    return token >= 32 && token < 127 ? std::string(1, static_cast<char>(token))
           : token == '\n'            ? "\\n"
                                      : fmt::format("\\x{:02x}", token);
  }

  Example Draw(Part part, uint64_t seed, int64_t index) const override {
    if (part == Part::kTraining) {
      Random random(seed, static_cast<uint64_t>(index));
      return Window(static_cast<int64_t>(random.Below(learnt_bytes_ - length_)));
    }
    const int64_t begin = learnt_bytes_ + (part == Part::kTest ? held_out_bytes_ : 0);
    return Window(begin + index % held_out() * length_);
  }

 private:
  Example Window(int64_t begin) const {
    const auto* text = reinterpret_cast<const unsigned char*>(file_->bytes().data()) + begin;
    return {{text, text + length_}, {text + 1, text + 1 + length_}};
  }

  int64_t length_, most_, learnt_bytes_ = 0, held_out_bytes_ = 0;
  std::optional<MappedFile> file_;
};

}  // namespace

TaskKind TextKind() {
  return {"text",
          "Predict each byte of a text",
          {{"length", 128, 1, 1 << 20, "bytes of a window"},
           {"bytes", 0, 0, int64_t{1} << 50, "of the file, from its beginning, that are used; 0: all"}},
          32,
          "a text file",
          [](const TaskArguments& a) -> std::unique_ptr<Task> { return std::make_unique<Text>(a); }};
}

}  // namespace linnet::lab

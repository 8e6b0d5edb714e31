// linnet tokenize: text to token ids and back, with a tokenizer alone. It reads standard input and is a
// stable contract for programs that check linnet from outside:
//   linnet tokenize --tokenizer T --json           bytes -> {"tokens": [id, ...]}
//   linnet tokenize --tokenizer T --decode         ids -> bytes, nothing added; the ids as that object, as a
//                                                  JSON list, or separated by blanks, commas or line ends
// Both work piece by piece: memory does not grow with the input (but for a text without a place where it can
// be cut; see Tokenizer::EncodeSome).
#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "cli/commands.h"
#include "text/tokenizer_of.h"
#include "text/utf8.h"

namespace linnet {
namespace {

constexpr size_t kPieceBytes = 1 << 20;

struct TokenizeOptions {
  std::string tokenizer;
  bool decode = false, json = false, show = false, keep_special = false;
};

void Write(std::string_view text) {
  Check(std::fwrite(text.data(), 1, text.size(), stdout) == text.size(), "standard output: writing failed");
}

/// Up to `most` bytes of standard input, appended to `text`; false at its end.
bool ReadMore(std::string& text, size_t most) {
  const size_t size = text.size();
  text.resize(size + most);
  const size_t n = std::fread(text.data() + size, 1, most, stdin);
  text.resize(size + n);
  Check(!std::ferror(stdin), "standard input: reading failed: {}", std::strerror(errno));
  return n == most;
}

/// What a token stands for, whether text or the end of a document.
std::string Written(const Tokenizer& tokenizer, int id) {
  const std::string special = tokenizer.SpecialName(id);
  return special.empty() ? tokenizer.Decode({&id, 1}) : special;
}

class IdWriter {
 public:
  IdWriter(const Tokenizer& tokenizer, const TokenizeOptions& options)
      : tokenizer_(tokenizer), options_(options) {
    if (options_.json) Write("{\"tokens\": [");
  }

  void Push(const std::vector<int>& ids) {
    fmt::memory_buffer buffer;
    const auto out = std::back_inserter(buffer);
    for (int id : ids) {
      if (options_.show) {
        fmt::format_to(out, "{}\t{}\n", id, Readable(Written(tokenizer_, id)));
      } else {
        fmt::format_to(out, "{}{}", any_ ? (options_.json ? ", " : " ") : "", id);
      }
      any_ = true;
    }
    Write({buffer.data(), buffer.size()});
  }

  void Finish() {
    if (!options_.show) Write(options_.json ? "]}\n" : "\n");
  }

 private:
  const Tokenizer& tokenizer_;
  const TokenizeOptions& options_;
  bool any_ = false;
};

void Encode(const Tokenizer& tokenizer, const TokenizeOptions& options) {
  IdWriter writer(tokenizer, options);
  std::string text;
  for (bool more = true; more;) {
    // As much as is waiting already: then a text that cannot be cut is looked through a few times, not often.
    more = ReadMore(text, std::max(kPieceBytes, text.size()));
    std::vector<int> ids;
    text.erase(0, tokenizer.EncodeSome(text, more, ids));
    writer.Push(ids);
  }
  writer.Finish();
}

/// Takes ids and writes their bytes.
class TextWriter {
 public:
  TextWriter(const Tokenizer& tokenizer, bool keep_special)
      : tokenizer_(tokenizer), keep_special_(keep_special) {}

  void Push(int id) {
    ids_.push_back(id);
    if (ids_.size() == kPieceBytes / sizeof(int)) Flush();
  }

  void Flush() {
    if (keep_special_) {
      for (int id : ids_) Write(Written(tokenizer_, id));
    } else {
      Write(tokenizer_.Decode(ids_));
    }
    ids_.clear();
  }

 private:
  const Tokenizer& tokenizer_;
  bool keep_special_;
  std::vector<int> ids_;
};

/// The events of a JSON list of ids, or of an object with one under "tokens"; other members are passed over.
class IdReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit IdReader(TextWriter& writer) : writer_(writer) {}

  bool found() const { return found_; }

  bool null() override { return Other(); }
  bool boolean(bool) override { return Other(); }
  bool number_integer(number_integer_t) override { return Other(); }
  bool number_float(number_float_t, const string_t&) override { return Other(); }
  bool string(string_t&) override { return Other(); }
  bool binary(binary_t&) override { return Other(); }
  bool number_unsigned(number_unsigned_t number) override {
    if (!inside()) return true;
    Check(number <= INT32_MAX, "standard input: {} is no token", number);
    writer_.Push(static_cast<int>(number));
    return true;
  }
  bool start_object(size_t) override {
    Other();
    ++depth_;
    return true;
  }
  bool end_object() override {
    --depth_;
    return true;
  }
  bool start_array(size_t) override {
    Other();
    if (depth_++ == (is_object_ ? 1 : 0) && (!is_object_ || key_ == "tokens"))
      list_depth_ = depth_, found_ = true;
    return true;
  }
  bool end_array() override {
    if (depth_-- == list_depth_) list_depth_ = -1;
    return true;
  }
  bool key(string_t& name) override {
    is_object_ = true;
    if (depth_ == 1) key_ = name;
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception& error) override {
    Fail("standard input: {}", error.what());
  }

 private:
  bool inside() const { return depth_ == list_depth_; }
  bool Other() const {
    Check(!inside(), "standard input: the list of tokens must hold whole numbers from 0 on and nothing else");
    return true;
  }

  TextWriter& writer_;
  int depth_ = 0, list_depth_ = -1;
  bool is_object_ = false, found_ = false;
  std::string key_;
};

/// Ids separated by blanks, commas or line ends.
void DecodeList(TextWriter& writer) {
  constexpr std::string_view kSeparators = ", \t\r\n";
  std::string text;
  for (bool more = true; more;) {
    more = ReadMore(text, kPieceBytes);
    std::string_view rest = text;
    while (true) {
      rest.remove_prefix(std::min(rest.find_first_not_of(kSeparators), rest.size()));
      const size_t end = rest.find_first_of(kSeparators);
      if (rest.empty() || (more && end == std::string_view::npos))
        break;  // the rest of the number may follow
      const std::string_view word = rest.substr(0, end);
      int id = 0;
      const auto [stop, error] = std::from_chars(word.data(), word.data() + word.size(), id);
      Check(error == std::errc() && stop == word.data() + word.size() && id >= 0,
            "standard input: '{}' is no token; give ids as JSON or separated by blanks or commas",
            Readable(word.substr(0, 40)));
      writer.Push(id);
      rest.remove_prefix(word.size());
    }
    Check(rest.size() < kPieceBytes, "standard input: a token of {} digits", rest.size());
    text.erase(0, text.size() - rest.size());
  }
}

void Decode(const Tokenizer& tokenizer, const TokenizeOptions& options) {
  TextWriter writer(tokenizer, options.keep_special);
  int first = std::getc(stdin);
  while (first == ' ' || (first >= '\t' && first <= '\r')) first = std::getc(stdin);
  if (first != EOF) std::ungetc(first, stdin);
  if (first == '{' || first == '[') {
    IdReader reader(writer);
    nlohmann::json::sax_parse(stdin, &reader);
    Check(reader.found(), "standard input: the JSON object has no list \"tokens\"");
  } else {
    DecodeList(writer);
  }
  writer.Flush();
}

}  // namespace

void AddTokenize(CLI::App& app) {
  auto options = std::make_shared<TokenizeOptions>();
  CLI::App* command = app.add_subcommand("tokenize", "Turn text into token ids, or ids into text");
  command->add_option("--tokenizer,--vocab", options->tokenizer, "bytes, world, 20B, or a vocabulary file")
      ->required()
      ->type_name("FILE");
  auto* decode =
      command->add_flag("--decode", options->decode,
                        "Read ids - JSON, or separated by blanks or commas - and write their bytes");
  command->add_flag("--json", options->json, "Print ids as one object: {\"tokens\": [...]}");
  command->add_flag("--show", options->show, "Print a line a token: its id, a tab, its text")
      ->excludes("--json")
      ->excludes(decode);
  command
      ->add_flag("--keep-special", options->keep_special,
                 "Write tokens that stand for no text by their names, such as <|endoftext|>")
      ->needs(decode);
  command->footer("Example: echo Hello | linnet tokenize --tokenizer bytes --json");
  command->callback([options] {
    const auto tokenizer = MakeTokenizer(options->tokenizer);
    options->decode ? Decode(*tokenizer, *options) : Encode(*tokenizer, *options);
  });
}

}  // namespace linnet

// linnet logits: the raw output of a model on given tokens. With --json this is a stable contract for
// programs that check linnet from outside:
//   {"vocab": V, "tokens": [t, ...], "logits": [[V numbers], ...]}
// one row a token with --all, else one row after the last token. Numbers are float32 with nine significant
// digits, which give back the same float32; NaN and infinities are null. Rows are written as they are
// computed: memory does not grow with them.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <memory>
#include <numeric>
#include <span>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/model_options.h"
#include "infer/generator.h"
#include "text/utf8.h"

namespace linnet {
namespace {

constexpr int kShown = 10;  // tokens a row without --json

struct LogitsOptions {
  ModelOptions model;
  std::string tokens;
  bool all = false, json = false;
};

/// The ids of `list`, separated by commas or white space. `source` is what messages call it.
std::vector<int> ParseTokens(std::string_view list, const std::string& source, Dim vocab) {
  constexpr std::string_view kSeparators = ", \t\r\n";
  std::vector<int> ids;
  for (size_t at = list.find_first_not_of(kSeparators); at != std::string_view::npos;
       at = list.find_first_not_of(kSeparators, at)) {
    const std::string_view word = list.substr(at, list.find_first_of(kSeparators, at) - at);
    int id = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    Check(error == std::errc() && end == word.data() + word.size() && id >= 0 && id < vocab,
          "{}: '{}', number {} of the list, is not a token: ids are 0 to {}", source, word.substr(0, 40),
          ids.size() + 1, vocab - 1);
    ids.push_back(id);
    at += word.size();
  }
  Check(!ids.empty(), "{}: there are no tokens; give ids separated by commas, as in --tokens 1,2,3", source);
  return ids;
}

std::vector<int> ReadTokens(const std::string& argument, Dim vocab) {
  if (!argument.starts_with('@')) return ParseTokens(argument, "--tokens", vocab);
  const std::string file = argument.substr(1);
  return ParseTokens(ReadFile(file), file, vocab);
}

void Write(const fmt::memory_buffer& buffer) { std::fwrite(buffer.data(), 1, buffer.size(), stdout); }

void WriteJsonRow(std::span<const float> row, bool first) {
  fmt::memory_buffer buffer;
  const auto out = std::back_inserter(buffer);
  fmt::format_to(out, "{}[", first ? "" : ", ");
  const char* separator = "";
  for (float x : row) {
    if (std::isfinite(x)) {
      fmt::format_to(out, "{}{:.9g}", separator, x);
    } else {
      fmt::format_to(out, "{}null", separator);
    }
    separator = ", ";
  }
  buffer.push_back(']');
  Write(buffer);
}

/// A token as people read it; just its number if the tokenizer is not known or does not know it.
std::string Shown(const Tokenizer* tokenizer, int token) {
  if (tokenizer == nullptr || token >= tokenizer->vocab()) return fmt::format("{}", token);
  return fmt::format("{} '{}'", token, Readable(tokenizer->Decode({&token, 1})));
}

void WriteReadableRow(std::span<const float> row, size_t position, int token, const Tokenizer* tokenizer) {
  std::vector<int> ids(row.size());
  std::iota(ids.begin(), ids.end(), 0);
  // A NaN would break the order that sorting relies on.
  std::erase_if(ids, [&](int id) { return std::isnan(row[id]); });
  const size_t not_numbers = row.size() - ids.size(), shown = std::min<size_t>(kShown, ids.size());
  const auto larger = [&](int a, int b) { return row[a] != row[b] ? row[a] > row[b] : a < b; };
  std::partial_sort(ids.begin(), ids.begin() + static_cast<ptrdiff_t>(shown), ids.end(), larger);
  double sum = 0;
  for (int id : ids) sum += std::exp(row[id] - row[ids[0]]);
  fmt::print("after position {}, token {}:\n", position, Shown(tokenizer, token));
  if (not_numbers > 0) fmt::print("  {} logits are NaN\n", not_numbers);
  for (size_t i = 0; i < shown; ++i) {
    const float logit = row[ids[i]];
    fmt::print("  {:>10.5f}  {:>6.2f}%  {}\n", logit, 100 * std::exp(logit - row[ids[0]]) / sum,
               Shown(tokenizer, ids[i]));
  }
}

std::unique_ptr<Tokenizer> KnownTokenizer(const LoadedModel& model, const ModelOptions& options) {
  try {
    return options.OpenTokenizer(model);
  } catch (const Error&) {
    if (!options.tokenizer.empty()) throw;
    return nullptr;  // ids are all that this command needs
  }
}

/// Calls row(position, logits) for the rows asked for, in order.
template <class Row>
void ForEachRow(const LoadedModel& model, const std::vector<int>& tokens, bool all, const Row& row) {
  const State state = model.NewState(1);
  const auto width = static_cast<size_t>(model.vocab());
  Progress progress("computing logits");
  const auto count = static_cast<int64_t>(tokens.size());
  if (!all) {
    const Tensor logits = Prefill(*model.model, state, tokens, 0, [&](int64_t done) {
      progress.Update(done, count);
      return true;
    });
    row(tokens.size() - 1, std::span<const float>(logits.data(), width));
    return;
  }
  for (size_t done = 0; done < tokens.size();) {
    const size_t rows = std::min<size_t>(kPrefillRows, tokens.size() - done);
    Batch batch;
    batch.Append(
        {tokens.begin() + static_cast<ptrdiff_t>(done), tokens.begin() + static_cast<ptrdiff_t>(done + rows)},
        0);
    const Tensor logits = model.model->Forward(batch, state);
    for (size_t i = 0; i < rows; ++i) row(done + i, std::span<const float>(logits.data() + i * width, width));
    done += rows;
    progress.Update(static_cast<int64_t>(done), count);
  }
}

void RunLogits(const LogitsOptions& options) {
  const LoadedModel model = options.model.Load();
  const std::vector<int> tokens = ReadTokens(options.tokens, model.vocab());
  if (!options.json) {
    const auto tokenizer = KnownTokenizer(model, options.model);
    ForEachRow(model, tokens, options.all, [&](size_t position, std::span<const float> row) {
      WriteReadableRow(row, position, tokens[position], tokenizer.get());
    });
    return;
  }
  fmt::print("{{\"vocab\": {}, \"tokens\": [", model.vocab());
  for (size_t i = 0; i < tokens.size(); ++i) fmt::print("{}{}", i == 0 ? "" : ", ", tokens[i]);
  fmt::print("], \"logits\": [");
  bool first = true;
  ForEachRow(model, tokens, options.all, [&](size_t, std::span<const float> row) {
    WriteJsonRow(row, first);
    first = false;
  });
  fmt::print("]}}\n");
}

}  // namespace

void AddLogits(CLI::App& app) {
  auto options = std::make_shared<LogitsOptions>();
  CLI::App* command = app.add_subcommand("logits", "Print a model's logits for given tokens");
  options->model.AddTo(*command);
  command->add_option("--tokens", options->tokens, "Token ids separated by commas, or @FILE with such a list")
      ->required()
      ->type_name("IDS");
  command->add_flag("--all", options->all, "A row after every token, not only after the last");
  command->add_flag("--json", options->json, "{\"vocab\": V, \"tokens\": [...], \"logits\": [[...], ...]}");
  command->footer("Example: linnet logits model.safetensors --tokens 72,105 --all --json --precision fp32");
  command->callback([options] { RunLogits(*options); });
}

}  // namespace linnet

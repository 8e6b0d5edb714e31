// linnet embed: texts as vectors. Prints a JSON object a text, a stable contract:
//   {"text": "...", "tokens": n, "embedding": [C numbers]}
// Numbers are float32 with nine significant digits; NaN and infinities are null. With --similarity it prints
// how near each further text is to the first, for people or, with --json, as one object:
//   {"text": the first, "similarities": [{"text": "...", "similarity": the cosine}, ...]}
#include <fmt/format.h>

#include <deque>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/eval.h"
#include "cli/terminal.h"
#include "infer/datasets.h"
#include "infer/embedding.h"

namespace linnet {
namespace {

using Json = nlohmann::ordered_json;

struct EmbedOptions {
  ModelOptions model;
  std::vector<std::string> texts;
  std::string file;
  Pooling pooling = Pooling::kMean;
  bool normalize = false, similarity = false, json = false;
};

/// The texts one after another: those on the command line, of a file, or the lines of standard input.
std::function<bool(std::string&)> Source(const EmbedOptions& options) {
  std::vector<std::string> texts = options.texts;
  if (!options.file.empty()) {
    for (TextLine& line : ReadTextLines(options.file)) texts.push_back(std::move(line.text));
  }
  if (texts.empty()) {
    return [](std::string& text) {
      while (std::getline(std::cin, text)) {
        if (!text.empty()) return true;
      }
      return false;
    };
  }
  return [texts = std::move(texts), at = size_t{0}](std::string& text) mutable {
    if (at == texts.size()) return false;
    text = texts[at++];
    return true;
  };
}

std::string JsonText(const std::string& text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

void PrintEmbedding(const std::string& text, const Embedding& embedding) {
  fmt::memory_buffer line;
  const auto out = std::back_inserter(line);
  fmt::format_to(out, "{{\"text\": {}, \"tokens\": {}, \"embedding\": [", JsonText(text), embedding.tokens);
  const char* separator = "";
  for (float x : embedding.values) {
    if (std::isfinite(x)) {
      fmt::format_to(out, "{}{:.9g}", separator, x);
    } else {
      fmt::format_to(out, "{}null", separator);
    }
    separator = ", ";
  }
  fmt::print("{}]}}\n", fmt::to_string(line));
}

/// How near texts are to the first of them.
struct Similarities {
  std::string first_text;
  std::vector<float> first;
  std::vector<std::pair<std::string, double>> others;

  void Add(const std::string& text, const Embedding& embedding) {
    if (first.empty()) {
      first_text = text;
      first = embedding.values;
    } else {
      others.emplace_back(text, Cosine(first, embedding.values));
    }
  }

  void Print(bool json) const {
    Check(!others.empty(), "--similarity needs at least two texts");
    if (json) {
      Json object = {{"text", first_text}, {"similarities", Json::array()}};
      for (const auto& [text, cosine] : others) {
        object["similarities"].push_back({{"text", text}, {"similarity", cosine}});
      }
      fmt::print("{}\n", object.dump(-1, ' ', false, Json::error_handler_t::replace));
      return;
    }
    for (const auto& [text, cosine] : others) fmt::print("{:8.5f}  {}\n", cosine, Printable(text));
  }
};

void RunEmbed(const EmbedOptions& options) {
  const LoadedModel model = options.model.Load();
  const auto tokenizer = options.model.OpenTokenizer(model);
  const auto source = Source(options);
  std::deque<std::string> read;  // texts whose embeddings are to come
  Similarities similarities;
  EmbedTexts(
      model, *tokenizer, options.pooling,
      [&](std::string& text) {
        if (!source(text)) return false;
        read.push_back(text);
        return true;
      },
      [&](int64_t, Embedding embedding) {
        if (options.similarity) {
          similarities.Add(read.front(), embedding);
        } else {
          if (options.normalize) Normalize(embedding.values);
          PrintEmbedding(read.front(), embedding);
        }
        read.pop_front();
      });
  if (options.similarity) similarities.Print(options.json);
}

}  // namespace

void AddEmbed(CLI::App& app) {
  auto options = std::make_shared<EmbedOptions>();
  CLI::App* command = app.add_subcommand("embed", "Turn texts into vectors: the model's hidden states");
  options->model.AddTo(*command);
  CLI::Option* texts =
      command->add_option("text", options->texts, "Texts; without any, the lines of standard input");
  command->add_option("--data", options->file, "JSON lines with a \"text\" each instead")
      ->type_name("FILE")
      ->excludes(texts);
  command
      ->add_option("--pool", options->pooling,
                   "mean of the hidden states after all tokens, or the last one alone; mean if not given")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, Pooling>{{"mean", Pooling::kMean}, {"last", Pooling::kLast}}))
      ->type_name("mean|last");
  command->add_flag("--normalize", options->normalize, "Scale each vector to length 1");
  command->add_flag("--similarity", options->similarity,
                    "Print how near each further text is to the first: the cosine");
  command->add_flag("--json", options->json, "Similarities as a JSON object; embeddings always are JSON");
  command->footer("Example: linnet embed model.safetensors \"a bird\" \"a finch\" \"a stone\" --similarity");
  command->callback([options] { RunEmbed(*options); });
}

}  // namespace linnet

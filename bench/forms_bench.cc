// What a demanded form costs a text from end to end: the engine writes answers that a JSON schema or a
// grammar holds, and free ones of the same lengths, in turns.
//
//   forms_bench [MODEL] [--rounds 9] [--threads N]      a model file, the starter unless said otherwise
//   forms_bench --vocabulary FILE [--layers 12] [--width 768] ...     random weights, bf16, that vocabulary
//
// A share is the speed of the texts with a form in that of the free ones right after; medians of the rounds.
#include <cstdio>

#include "bench/engine_jobs.h"
#include "bench/measure.h"
#include "infer/grammar_constraint.h"
#include "infer/json_schema.h"

namespace linnet::bench {
namespace {

constexpr const char* kBirds = R"({"type": "array", "minItems": 3, "maxItems": 6, "items": {"type": "object",
  "properties": {"name": {"type": "string", "maxLength": 20}, "wings": {"type": "integer", "minimum": 0, "maximum": 99},
    "sings": {"type": "boolean"}, "colours": {"type": "array", "maxItems": 3, "items": {"enum": ["red", "green", "blue"]}},
    "note": {"anyOf": [{"type": "null"}, {"type": "string", "maxLength": 30}]}},
  "required": ["name", "wings", "sings", "colours", "note"]}})";
constexpr const char* kLines = R"(root ::= line{6,12}
line ::= "- " [A-Z] [a-z ]{5,30} (": " [0-9]{1,4} ("." [0-9]{1,2})?)? "\n"
)";

struct Arguments {
  std::string model = "models/starter.safetensors", vocabulary;
  Dim layers = 12, width = 768;
  int rounds = 9;
};

/// So many texts are written together.
class Texts {
 public:
  Texts(const LoadedModel& model, const Tokenizer& tokenizer, int together)
      : tokenizer_(tokenizer), together_(together), engine_(model, tokenizer, {.slots = together}) {}

  /// Writes two for each slot, each with a constraint or, without one, of the length that it had before.
  /// Returns tokens a second.
  double Write(uint64_t seed, GrammarMatcher* matcher) {
    lengths_.resize(static_cast<size_t>(2 * together_), 0);
    int64_t tokens = 0;
    const double seconds = Seconds([&] {
      Jobs jobs(engine_);
      for (size_t i = 0; i < lengths_.size(); ++i) {
        Job job;
        job.prompt = SomeTokens(8, tokenizer_.vocab(), seed + i);
        job.seed = seed + i;
        job.sampler.top_p = 0.7;
        job.past_end = true;
        job.max_tokens = matcher != nullptr ? 2000 : lengths_[i];
        if (matcher != nullptr) job.constraint = matcher->NewText();
        job.on_end = [&, i](const JobResult& result) {
          lengths_[i] = static_cast<int64_t>(result.ids.size());
          tokens += lengths_[i];
        };
        jobs.Submit(std::move(job));
      }
    });
    return static_cast<double>(tokens) / seconds;
  }

 private:
  const Tokenizer& tokenizer_;
  int together_;
  Engine engine_;
  std::vector<int64_t> lengths_;
};

nlohmann::json Compare(Texts& texts, GrammarMatcher& matcher, int rounds) {
  std::vector<double> formed, free, shares;
  texts.Write(0, &matcher);  // what is found once is known from then on, as in a server
  for (int round = 1; round <= rounds; ++round) {
    const auto seed = static_cast<uint64_t>(1000 * round);
    formed.push_back(texts.Write(seed, &matcher));
    free.push_back(texts.Write(seed, nullptr));
    shares.push_back(formed.back() / free.back());
  }
  return {{"tokens_per_s", Median(formed)}, {"free_tokens_per_s", Median(free)}, {"share", Median(shares)}};
}

nlohmann::json Measure(const LoadedModel& model, const Tokenizer& tokenizer, int rounds) {
  const auto tree = std::make_shared<const VocabularyTree>(tokenizer);
  const auto schema = GrammarMatcher::Make(Grammar(JsonSchemaGrammar(kBirds)), tree);
  const auto lines = GrammarMatcher::Make(Grammar(kLines), tree);
  nlohmann::json report;
  for (const int together : {1, 16}) {
    std::fprintf(stderr, "forms_bench: %d texts together\n", together);
    Texts texts(model, tokenizer, together);
    report.push_back({{"together", together},
                      {"schema", Compare(texts, *schema, rounds)},
                      {"grammar", Compare(texts, *lines, rounds)}});
  }
  return report;
}

}  // namespace
}  // namespace linnet::bench

int main(int argc, char** argv) {
  using namespace linnet;
  using namespace linnet::bench;
  WaitShortly(argv);
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (!flag.starts_with("--")) {
      arguments.model = flag;
      continue;
    }
    const std::string value = i + 1 < argc ? argv[++i] : "0";
    if (flag == "--vocabulary") arguments.vocabulary = value;
    if (flag == "--layers") arguments.layers = std::stoi(value);
    if (flag == "--width") arguments.width = std::stoi(value);
    if (flag == "--threads") SetThreads(std::stoi(value));
    if (flag == "--rounds") arguments.rounds = std::stoi(value);
  }
  nlohmann::json report{{"machine", Machine()}};
  if (arguments.vocabulary.empty()) {
    const LoadedModel model = LoadModel(arguments.model);
    report["model"] = arguments.model;
    report["texts"] = Measure(model, *TokenizerOf(model, arguments.model), arguments.rounds);
  } else {
    const auto tokenizer = MakeTokenizer(arguments.vocabulary);
    const Architecture& rwkv7 = FindArchitecture("rwkv7");
    const Sizes sizes = rwkv7.complete_sizes({{"layers", arguments.layers},
                                              {"width", arguments.width},
                                              {"vocab", (tokenizer->vocab() + 63) / 64 * 64}});
    report["model"] = fmt::format("rwkv7, {} layers of {}, {} tokens", arguments.layers, arguments.width,
                                  tokenizer->vocab());
    report["texts"] =
        Measure(NewModel(rwkv7, sizes, RandomMatrices{DType::kBf16}), *tokenizer, arguments.rounds);
  }
  std::puts(report.dump(2).c_str());
}

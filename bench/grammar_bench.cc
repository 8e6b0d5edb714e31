// What it costs to keep a text to a grammar: the time of the mask and of taking note of a token, a token.
//
//   grammar_bench VOCABULARY [--tokens 2000]        VOCABULARY: as for `linnet tokenize --tokenizer`
//
// "new" is a grammar's first text, when nothing is known; "known" what later texts cost. Tokens are drawn at
// random among those allowed, which leads to more different places than a model's text does. Processor time
// of this thread, as other programs may want its core.
#include <cmath>
#include <cstdio>
#include <ctime>

#include "bench/measure.h"
#include "infer/grammar_constraint.h"
#include "infer/json_schema.h"
#include "infer/sampler.h"
#include "text/tokenizer_of.h"

namespace linnet::bench {
namespace {

constexpr const char* kPerson = R"({"type": "object", "additionalProperties": false,
  "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0, "maximum": 150},
    "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}, "maxItems": 5},
    "address": {"type": "object", "properties": {"street": {"type": "string", "maxLength": 40},
      "zip": {"type": "string", "pattern": "^[0-9]{5}$"}}, "required": ["street", "zip"]}},
  "required": ["name", "age", "tags"]})";

double CpuSeconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

nlohmann::json Figures(const std::vector<double>& seconds) {
  double sum = 0;
  for (const double s : seconds) sum += s;
  return {{"tokens", seconds.size()},
          {"mean_us", 1e6 * sum / static_cast<double>(seconds.size())},
          {"median_us", 1e6 * Median(seconds)},
          {"slowest_us", 1e6 * *std::max_element(seconds.begin(), seconds.end())}};
}

/// Writes texts until there are so many tokens; `times` gets what each took.
void Write(GrammarMatcher& matcher, const Tokenizer& tokenizer, size_t tokens, uint64_t seed,
           std::vector<double>& times) {
  Random random(seed);
  SequenceSampler sampler({}, seed, &tokenizer);
  std::vector<float> logits(static_cast<size_t>(tokenizer.vocab()));
  std::vector<float> noise(logits.size());
  for (float& x : noise) x = static_cast<float>(2 * random.Normal());
  auto text = matcher.NewText();
  while (times.size() < tokens) {
    // The same noise, at another place each time: drawing it anew would take longer than all else.
    std::rotate_copy(noise.begin(), noise.begin() + static_cast<int64_t>(random.Below(noise.size())),
                     noise.end(), logits.begin());
    double start = CpuSeconds();
    text->Mask(logits);
    double seconds = CpuSeconds() - start;
    const int token = sampler.Draw(logits);
    start = CpuSeconds();
    text->Accept(token);
    seconds += CpuSeconds() - start;
    times.push_back(seconds);
    if (token == Tokenizer::kEndOfText) text = matcher.NewText();
  }
}

nlohmann::json Measure(const std::string& grammar, const Tokenizer& tokenizer,
                       const std::shared_ptr<const VocabularyTree>& tree, size_t tokens) {
  const double start = CpuSeconds();
  const auto matcher = GrammarMatcher::Make(Grammar(grammar), tree);
  const double compile = CpuSeconds() - start;
  std::vector<double> first, later;
  Write(*matcher, tokenizer, std::min<size_t>(tokens, 100), 1, first);
  Write(*matcher, tokenizer, tokens, 2, later);
  return {{"compile_ms", 1e3 * compile},
          {"new", Figures(first)},
          {"known", Figures(later)},
          {"megabytes", 1e-6 * static_cast<double>(matcher->bytes())}};
}

}  // namespace
}  // namespace linnet::bench

int main(int argc, char** argv) {
  linnet::WaitShortly(argv);
  using namespace linnet;
  using namespace linnet::bench;
  if (argc < 2) {
    std::fprintf(stderr, "usage: grammar_bench VOCABULARY [--tokens 2000]\n");
    return 1;
  }
  const size_t tokens = argc == 4 && std::string(argv[2]) == "--tokens" ? std::stoul(argv[3]) : 2000;
  const auto tokenizer = MakeTokenizer(argv[1]);
  const double start = CpuSeconds();
  const auto tree = std::make_shared<VocabularyTree>(*tokenizer);
  nlohmann::json report{{"machine", Machine()},
                        {"tokenizer", tokenizer->name()},
                        {"vocab", tokenizer->vocab()},
                        {"tree_nodes", tree->size()},
                        {"tree_ms", 1e3 * (CpuSeconds() - start)}};
  report["any JSON"] = Measure(JsonGrammar(), *tokenizer, tree, tokens);
  report["a schema"] = Measure(JsonSchemaGrammar(kPerson), *tokenizer, tree, tokens);
  report["letters and digits"] =
      Measure("root ::= ([a-zA-Z]+ \" \" [0-9]{2,4} \"\\n\")*", *tokenizer, tree, tokens);
  report["any text"] = Measure("root ::= .*", *tokenizer, tree, tokens);
  std::puts(report.dump(2).c_str());
}

// linnet eval choices: multiple choice. A choice's score is its log-likelihood after the prompt. With --json
// one object, whose fields are a stable contract:
//   model, questions, accuracy (by the log-likelihood), accuracy_stderr, accuracy_per_token and
//   accuracy_per_byte (by the log-likelihood over the choice's length), chance (what guessing would get),
//   seconds, subjects: a list of objects {name, questions, accuracy, accuracy_per_token, accuracy_per_byte},
//   empty if the questions name none.
// --each writes one such object a question: {"subject", "answer", "log_likelihoods": one a choice, "tokens":
// of each choice}.
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/eval.h"
#include "cli/terminal.h"
#include "infer/choices.h"
#include "infer/mmlu.h"

namespace linnet {
namespace {

using Json = nlohmann::ordered_json;

struct ChoicesOptions {
  ModelOptions model;
  std::string data, examples, each;
  std::vector<std::string> pairs;
  int shots = 0;
  MmluForm form = MmluForm::kChat;
  int64_t limit = 0;
  bool json = false;
};

/// The worked examples of a subject: the first `shots` of its file.
std::vector<MmluItem> ExamplesOf(const std::vector<MmluSubject>& all, const std::string& subject, int shots,
                                 const std::string& path) {
  if (shots == 0) return {};
  const auto found = std::ranges::find(all, subject, &MmluSubject::name);
  Check(found != all.end(), "{}: has no examples of {}", path, subject);
  Check(static_cast<int>(found->items.size()) >= shots, "{}: has {} examples of {}, --shots asks for {}",
        path, found->items.size(), subject, shots);
  return {found->items.begin(), found->items.begin() + shots};
}

std::vector<Question> MmluQuestions(const ChoicesOptions& options, const Tokenizer& tokenizer) {
  Check(options.shots == 0 || !options.examples.empty(), "--shots needs --examples with worked examples");
  std::vector<MmluSubject> examples;
  if (options.shots > 0) examples = ReadMmlu(options.examples);
  std::vector<Question> questions;
  for (const MmluSubject& subject : ReadMmlu(options.data)) {
    const auto shots = ExamplesOf(examples, subject.name, options.shots, options.examples);
    for (const MmluItem& item : subject.items) {
      questions.push_back(Encode(tokenizer, AskMmlu(options.form, subject.name, shots, item)));
    }
  }
  return questions;
}

std::vector<Question> ReadAll(const ChoicesOptions& options, const Tokenizer& tokenizer) {
  std::vector<Question> questions;
  if (!options.pairs.empty()) {
    for (const auto& pair : ReadPairs(options.pairs[0], options.pairs[1])) {
      questions.push_back(EncodePair(tokenizer, pair));
    }
  } else if (options.data.ends_with(".jsonl")) {
    for (const QuestionText& text : ReadQuestions(options.data)) questions.push_back(Encode(tokenizer, text));
  } else {
    questions = MmluQuestions(options, tokenizer);
  }
  return questions;
}

/// Questions and what was right of them, in all and by subject, in the order of the subjects.
struct Tallies {
  Tally all;
  std::vector<std::pair<std::string, Tally>> subjects;

  void Add(const Question& question, std::span<const double> log_likelihoods) {
    all.Add(question, log_likelihoods);
    if (question.subject.empty()) return;
    auto found = std::ranges::find(subjects, question.subject, &std::pair<std::string, Tally>::first);
    if (found == subjects.end()) found = subjects.insert(found, {question.subject, {}});
    found->second.Add(question, log_likelihoods);
  }
};

Json Shares(const Tally& tally) {
  return {{"questions", tally.questions},
          {"accuracy", tally.Share(tally.right)},
          {"accuracy_per_token", tally.Share(tally.right_per_token)},
          {"accuracy_per_byte", tally.Share(tally.right_per_byte)}};
}

void PrintJson(const ChoicesOptions& options, const Tallies& tallies, double seconds) {
  const Tally& all = tallies.all;
  Json object = {{"model", options.model.path}};
  object.update(Shares(all));
  object["accuracy_stderr"] = StandardError(all.Share(all.right), all.questions);
  object["chance"] = all.Share(all.chance);
  object["seconds"] = seconds;
  object["subjects"] = Json::array();
  for (const auto& [name, tally] : tallies.subjects) {
    Json subject = {{"name", name}};
    subject.update(Shares(tally));
    object["subjects"].push_back(subject);
  }
  fmt::print("{}\n", object.dump(-1, ' ', false, Json::error_handler_t::replace));
}

void PrintScreen(const Tallies& tallies) {
  const Tally& all = tallies.all;
  std::vector<std::pair<std::string, std::string>> lines;
  for (const auto& [name, tally] : tallies.subjects) {
    lines.push_back(
        {Printable(name), fmt::format("{:6.2f}% of {}", 100 * tally.Share(tally.right), tally.questions)});
  }
  if (lines.size() > 1) {
    PrintLabelled(lines);
    fmt::print("\n");
  }
  PrintLabelled({{"questions", fmt::format("{}; guessing gets {:.2f}%", WithCommas(all.questions),
                                           100 * all.Share(all.chance))},
                 {"accuracy", ShareText(all.Share(all.right), all.questions)},
                 {"per token", ShareText(all.Share(all.right_per_token), all.questions)},
                 {"per byte", ShareText(all.Share(all.right_per_byte), all.questions)}});
}

void WriteEach(const std::string& path, const std::vector<Question>& questions,
               const std::vector<std::vector<double>>& scores) {
  AtomicFile file(path);
  for (size_t i = 0; i < questions.size(); ++i) {
    Json tokens = Json::array();
    for (const Choice& choice : questions[i].choices) tokens.push_back(choice.tokens.size());
    const Json line = {{"subject", questions[i].subject},
                       {"answer", questions[i].answer},
                       {"log_likelihoods", scores[i]},
                       {"tokens", tokens}};
    file.Write(line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  }
  file.Commit();
}

void RunChoices(const ChoicesOptions& options) {
  Check(options.data.empty() != options.pairs.empty(), "give either --data or --pairs");
  const LoadedModel model = options.model.Load();
  const auto tokenizer = options.model.OpenTokenizer(model);
  std::vector<Question> questions = ReadAll(options, *tokenizer);
  if (options.limit > 0 && options.limit < static_cast<int64_t>(questions.size())) {
    questions.resize(static_cast<size_t>(options.limit));
  }
  Progress progress("scoring", "questions");
  const auto start = std::chrono::steady_clock::now();
  const auto scores =
      ScoreQuestions(model, questions, [&](int64_t done, int64_t total) { progress.Update(done, total); });
  progress.Clear();
  Tallies tallies;
  for (size_t i = 0; i < questions.size(); ++i) tallies.Add(questions[i], scores[i]);
  if (!options.each.empty()) WriteEach(options.each, questions, scores);
  if (options.json) {
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    PrintJson(options, tallies, seconds.count());
  } else {
    PrintScreen(tallies);
  }
}

}  // namespace

void AddEvalChoices(CLI::App& eval) {
  auto options = std::make_shared<ChoicesOptions>();
  CLI::App* command =
      eval.add_subcommand("choices", "Multiple choice: which text is likeliest after a prompt");
  options->model.AddTo(*command);
  command
      ->add_option(
          "--data", options->data,
          "Questions: a .jsonl file of {\"prompt\", \"choices\", \"answer\": number from 0}, or MMLU: a "
          ".csv file or a folder of them, a subject each")
      ->type_name("PATH");
  command
      ->add_option("--pairs", options->pairs,
                   "Two text files instead: which line of RIGHT or WRONG is likelier, line by line")
      ->type_name("RIGHT WRONG")
      ->expected(2);
  command->add_option("--shots", options->shots, "MMLU: worked examples before each question")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  command->add_option("--examples", options->examples, "MMLU: where these are, a .csv file or a folder")
      ->type_name("PATH");
  command
      ->add_option("--form", options->form,
                   "MMLU: how to ask; chat is RWKV-LM's turn of a conversation, plain the paper's")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, MmluForm>{{"chat", MmluForm::kChat}, {"plain", MmluForm::kPlain}}))
      ->type_name("chat|plain");
  command->add_option("--limit", options->limit, "Only the first so many questions; 0 is all")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40));
  command->add_option("--each", options->each, "Write the scores of every question, as JSON lines")
      ->type_name("FILE");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(
      "Example: linnet eval choices model.safetensors --data mmlu/test --shots 5 --examples mmlu/dev");
  command->callback([options] { RunChoices(*options); });
}

}  // namespace linnet

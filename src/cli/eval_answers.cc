// linnet eval answers: asks a model questions, in the form of a chat, and counts the answers that are those
// it was taught (infer/answers.h). The likeliest token is always taken, so that a score can be had again.
// With
// --json one object, whose fields are a stable contract:
//   model, template, questions, right, mean_f1 (to the right answers), seconds
// --each writes one such object a question: {"id", "question", "answer", "nearest", "f1", "right"}.
#include <chrono>
#include <nlohmann/json.hpp>

#include "cli/chat_template.h"
#include "cli/eval.h"
#include "cli/shipped.h"
#include "cli/terminal.h"
#include "infer/answers.h"
#include "infer/conversation.h"

namespace linnet {
namespace {

using Json = nlohmann::ordered_json;

struct AnswersOptions {
  ModelOptions model;
  std::string data, pairs, chat, each;
  int64_t max_tokens = 600;
  bool json = false;
};

/// A question with what the model said to it.
struct Answered {
  AskedQuestion asked;
  std::string answer;
  TaughtAnswers::Verdict verdict;
};

std::vector<Answered> AskAll(const AnswersOptions& options, const LoadedModel& model,
                             const Tokenizer& tokenizer, const ChatTemplate& chat) {
  const TaughtAnswers taught(options.pairs);
  std::vector<Answered> all;
  const std::vector<AskedQuestion> questions = ReadAskedQuestions(options.data);
  for (const AskedQuestion& asked : questions) taught.Judge(asked.id, "");  // before the work, not after it
  Progress progress("asking", "questions");
  Conversation talk(model, tokenizer, chat);
  GenerateOptions generate;
  generate.max_tokens = options.max_tokens;
  generate.sampler.temperature = 0;
  for (const AskedQuestion& asked : questions) {
    talk.Ask(asked.question, FindThinkForm("off"), generate);
    const std::string answer = talk.turns().back().answer;
    talk.Reset();
    all.push_back({asked, answer, taught.Judge(asked.id, answer)});
    progress.Update(static_cast<int64_t>(all.size()), static_cast<int64_t>(questions.size()));
  }
  return all;
}

void WriteEach(const std::string& path, const std::vector<Answered>& all) {
  AtomicFile file(path);
  for (const auto& [asked, answer, verdict] : all) {
    const Json line = {{"id", asked.id},
                       {"question", asked.question},
                       {"answer", CleanMessage(answer)},
                       {"nearest", verdict.nearest},
                       {"f1", verdict.f1},
                       {"right", verdict.right}};
    file.Write(line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  }
  file.Commit();
}

void RunAnswers(AnswersOptions& options) {
  if (options.model.path.empty()) options.model.path = StarterModel();
  const LoadedModel model = options.model.Load();
  const auto tokenizer = options.model.OpenTokenizer(model);
  const ChatTemplate& chat = ChatTemplateFor(options.chat, model, *tokenizer, options.model.path);
  const auto start = std::chrono::steady_clock::now();
  const std::vector<Answered> all = AskAll(options, model, *tokenizer, chat);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  if (!options.each.empty()) WriteEach(options.each, all);
  int64_t right = 0;
  double f1 = 0;
  for (const Answered& one : all) {
    right += one.verdict.right ? 1 : 0;
    f1 += one.verdict.f1;
  }
  const auto count = static_cast<int64_t>(all.size());
  f1 /= static_cast<double>(count);
  if (options.json) {
    const Json object = {{"model", options.model.path},
                         {"template", chat.name},
                         {"questions", count},
                         {"right", right},
                         {"mean_f1", f1},
                         {"seconds", seconds.count()}};
    fmt::print("{}\n", object.dump(-1, ' ', false, Json::error_handler_t::replace));
    return;
  }
  PrintLabelled({{"right", fmt::format("{} of {} questions", right, count)},
                 {"F1", fmt::format("{:.3f} to the right answers", f1)},
                 {"time", fmt::format("{:.1f} s", seconds.count())}});
}

}  // namespace

void AddEvalAnswers(CLI::App& eval) {
  auto options = std::make_shared<AnswersOptions>();
  CLI::App* command =
      eval.add_subcommand("answers", "Ask known questions in other words: how many answers are right");
  options->model.AddTo(*command);
  command->get_option("model")->required(false)->description(
      "The model; the one that ships with linnet if not given");
  command->add_option("--data", options->data, "Questions: JSON lines of {\"id\", \"question\"}")
      ->required()
      ->type_name("FILE");
  command->add_option("--pairs", options->pairs, "What was taught: JSON lines of {\"id\", \"answer\"}")
      ->required()
      ->type_name("FILE");
  command->add_option("--template", options->chat, "How the questions are written; the model's if not given");
  command->add_option("-n,--tokens", options->max_tokens, "Tokens of an answer at most")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000}))
      ->capture_default_str();
  command->add_option("--each", options->each, "Write every question with its answer, as JSON lines")
      ->type_name("FILE");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->footer(
      "An answer is right if its words are nearer to the right pair's answer than to any other's, by F1, and "
      "that F1 is at least 0.5.\n"
      "Example: linnet eval answers model.safetensors --data data/howto-heldout.jsonl --pairs "
      "data/howto.jsonl");
  command->callback([options] { RunAnswers(*options); });
}

}  // namespace linnet

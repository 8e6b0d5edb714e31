// linnet data: text to tokens for training (a binidx: NAME.bin and NAME.idx), and what one does with such
// files.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/parallel.h"
#include "cli/commands.h"
#include "cli/model_options.h"
#include "cli/terminal.h"
#include "formats/binidx.h"
#include "text/tokenizer_of.h"
#include "train/prepare.h"
#include "train/rearrange.h"

namespace linnet {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

struct DataArguments {
  std::vector<std::string> inputs;
  std::string out, tokenizer, chat;
  bool json = false, no_mask = false;
  int threads = 0;
  int64_t show = 3, seed = 1;
  double held_out = 0.05;
};

void PrintJson(const Json& object) {
  fmt::print("{}\n", object.dump(2, ' ', false, Json::error_handler_t::replace));
}

std::string TypeName(const Binidx& data) { return Name(data.type()); }

/// What the conversations of a file are written with: what was asked for, or what suits the tokenizer.
const ChatTemplate& TemplateFor(const std::string& wanted, const Tokenizer& tokenizer) {
  if (!wanted.empty()) return FindChatTemplate(wanted);
  ChatModelTraits traits;
  traits.tokenizer = tokenizer.name();
  traits.vocab = (tokenizer.vocab() + 63) / 64 * 64;  // what a model of it has
  return ChatTemplateOf(traits);
}

void RunPrepare(const DataArguments& arguments) {
  if (arguments.threads > 0) SetThreads(arguments.threads);
  const auto tokenizer = MakeTokenizer(arguments.tokenizer);
  Progress progress("tokenising", "MB");
  const ChatTemplate& chat = TemplateFor(arguments.chat, *tokenizer);
  const Clock::time_point start = Clock::now();
  const Prepared done = PrepareData(
      {.inputs = arguments.inputs,
       .out = arguments.out,
       .tokenizer = tokenizer.get(),
       .chat = &chat,
       .mask = !arguments.no_mask,
       .on_progress = [&](int64_t bytes, int64_t total) { progress.Update(bytes >> 20, total >> 20); }});
  progress.Clear();
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  const BinidxPaths paths(arguments.out);
  if (arguments.json) {
    PrintJson({{"name", paths.name.string()},
               {"tokenizer", tokenizer->name()},
               {"files", done.files},
               {"bytes", done.bytes},
               {"documents", done.documents},
               {"tokens", done.tokens},
               {"learnt", done.learnt},
               {"seconds", seconds}});
    return;
  }
  std::vector<std::pair<std::string, std::string>> lines{
      {"read", fmt::format("{} bytes of {} file{} in {:.1f} s", WithCommas(done.bytes),
                           WithCommas(done.files), done.files == 1 ? "" : "s", seconds)},
      {"documents", WithCommas(done.documents)},
      {"tokens", fmt::format("{} of {}", WithCommas(done.tokens), tokenizer->name())}};
  if (done.learnt < done.tokens) {
    lines.emplace_back("learnt", fmt::format("{}: all but what the assistant is told ({})",
                                             WithCommas(done.learnt), paths.mask.string()));
  }
  lines.emplace_back("written", fmt::format("{}, {}", paths.tokens.string(), paths.index.string()));
  PrintLabelled(lines);
}

/// The first documents as text, or as ids where nobody said what these mean.
Json FirstDocuments(const Binidx& data, const Tokenizer* tokenizer, int64_t count) {
  constexpr int64_t kMostTokens = 100;
  Json documents = Json::array();
  for (int64_t d = 0; d < std::min(count, data.documents()); ++d) {
    std::vector<int> ids(std::min(kMostTokens, data.length(d)));
    data.Read(data.begin(d), ids);
    Json document{{"tokens", data.length(d)}, {"ids", ids}};
    if (tokenizer != nullptr) document["text"] = tokenizer->Decode(ids);
    documents.push_back(std::move(document));
  }
  return documents;
}

void RunInspect(const DataArguments& arguments) {
  const Binidx data = Binidx::Open(arguments.inputs.front());
  const auto tokenizer = arguments.tokenizer.empty() ? nullptr : MakeTokenizer(arguments.tokenizer);
  if (tokenizer) data.CheckIds(tokenizer->vocab(), tokenizer->name());
  const Binidx::Ids ids = data.IdRange();
  int64_t shortest = data.tokens(), longest = 0;
  for (int64_t d = 0; d < data.documents(); ++d) {
    shortest = std::min(shortest, data.length(d));
    longest = std::max(longest, data.length(d));
  }
  const int64_t learnt = data.CountLearnt(0, data.tokens());
  const Json documents = FirstDocuments(data, tokenizer.get(), arguments.show);
  if (arguments.json) {
    Json object{{"documents", data.documents()},
                {"tokens", data.tokens()},
                {"type", TypeName(data)},
                {"least_id", ids.least},
                {"most_id", ids.most},
                {"shortest", shortest},
                {"longest", longest},
                {"learnt", learnt},
                {"first", documents}};
    if (data.has_mask()) object["chat_template"] = data.chat_template();
    PrintJson(object);
    return;
  }
  std::vector<std::pair<std::string, std::string>> lines{
      {"documents", fmt::format("{}, of {} to {} tokens", WithCommas(data.documents()), WithCommas(shortest),
                                WithCommas(longest))},
      {"tokens", fmt::format("{} of type {}", WithCommas(data.tokens()), TypeName(data))},
      {"ids", fmt::format("{} to {}", ids.least, ids.most)}};
  if (data.has_mask()) {
    lines.emplace_back("learnt", fmt::format("{} tokens: of conversations of the template {} the answers",
                                             WithCommas(learnt), data.chat_template()));
  }
  PrintLabelled(lines);
  int64_t number = 0;
  for (const Json& document : documents) {
    const bool decoded = document.contains("text");
    fmt::print("\ndocument {}, {} tokens{}\n{}\n", number++, WithCommas(document["tokens"].get<int64_t>()),
               decoded ? "" : " (--tokenizer shows their text)",
               decoded ? Printable(document["text"].get<std::string>()) : document["ids"].dump());
  }
}

/// Says what was written.
void Summarize(const std::vector<std::string>& names, bool json) {
  Json list = Json::array();
  for (const std::string& name : names) {
    const Binidx data = Binidx::Open(name);
    const std::string path = BinidxPaths(name).name.string();
    list.push_back({{"name", path}, {"documents", data.documents()}, {"tokens", data.tokens()}});
    if (json) continue;
    fmt::print("{}: {} documents, {} tokens\n", path, WithCommas(data.documents()),
               WithCommas(data.tokens()));
  }
  if (json) PrintJson({{"written", list}});
}

void RunMerge(const DataArguments& arguments) {
  std::vector<Binidx> parts;
  for (const std::string& name : arguments.inputs) parts.push_back(Binidx::Open(name));
  Progress progress("merging", "documents");
  MergeData(parts, arguments.out, [&](int64_t done, int64_t total) { progress.Update(done, total); });
  progress.Clear();
  Summarize({arguments.out}, arguments.json);
}

void RunShuffle(const DataArguments& arguments) {
  Progress progress("shuffling", "documents");
  ShuffleData(Binidx::Open(arguments.inputs.front()), arguments.out, static_cast<uint64_t>(arguments.seed),
              [&](int64_t done, int64_t total) { progress.Update(done, total); });
  progress.Clear();
  Summarize({arguments.out}, arguments.json);
}

void RunSplit(const DataArguments& arguments) {
  const std::string name = BinidxPaths(arguments.out).name.string();
  const std::string training = name + "-train", held_out = name + "-held-out";
  Progress progress("splitting", "documents");
  SplitData(Binidx::Open(arguments.inputs.front()), training, held_out, arguments.held_out,
            static_cast<uint64_t>(arguments.seed),
            [&](int64_t done, int64_t total) { progress.Update(done, total); });
  progress.Clear();
  Summarize({training, held_out}, arguments.json);
}

using Run = void (*)(const DataArguments&);

struct Part {
  CLI::App* command;
  std::shared_ptr<DataArguments> arguments;

  void AddOut(const char* help) const {
    command->add_option("-o,--out", arguments->out, help)->required()->type_name("NAME");
  }
  void AddSeed() const {
    command->add_option("--seed", arguments->seed, "Seed of the order")->capture_default_str();
  }
};

Part AddPart(CLI::App& data, const char* name, const char* help, const char* inputs, int count, Run run,
             const char* footer) {
  Part part{data.add_subcommand(name, help), std::make_shared<DataArguments>()};
  auto* given =
      part.command->add_option("inputs", part.arguments->inputs, inputs)->required()->type_name("NAME");
  if (count > 0) given->expected(count);
  part.command->add_flag("--json", part.arguments->json, "Print one JSON object");
  part.command->footer(footer);
  part.command->callback([arguments = part.arguments, run] { run(*arguments); });
  return part;
}

}  // namespace

void AddData(CLI::App& app) {
  CLI::App* data = app.add_subcommand("data", "Turn text into training data, look at it, rearrange it");
  data->require_subcommand(1);
  const Part prepare = AddPart(
      *data, "prepare", "Tokenise text: writes NAME.bin and NAME.idx, and NAME.mask for conversations",
      ".jsonl (a document a line), other files (a document each), folders of .jsonl, .txt and .md", 0,
      RunPrepare, "Example: linnet data prepare books/ chats.jsonl -o corpus --tokenizer world");
  prepare.AddOut("NAME of the files to write");
  prepare.command
      ->add_option("--tokenizer", prepare.arguments->tokenizer, "bytes, world, 20B, or a vocabulary file")
      ->required()
      ->type_name("FILE");
  prepare.command
      ->add_option("--template", prepare.arguments->chat,
                   "How conversations are written; one that suits the tokenizer if not given")
      ->type_name("NAME");
  prepare.command->add_flag("--no-mask", prepare.arguments->no_mask,
                            "Learn conversations as a whole, not the answers only");
  prepare.command
      ->add_option("--threads", prepare.arguments->threads, "Threads; one a physical core if not given")
      ->check(CLI::Range(1, 4096));
  const Part inspect = AddPart(*data, "inspect", "Say what NAME.bin and NAME.idx hold, and check them",
                               "NAME, NAME.bin or NAME.idx", 1, RunInspect,
                               "Example: linnet data inspect corpus --tokenizer world");
  inspect.command->add_option("--tokenizer", inspect.arguments->tokenizer, "To show the text of documents")
      ->type_name("FILE");
  inspect.command->add_option("--show", inspect.arguments->show, "Documents to show from the first on")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40))
      ->capture_default_str();
  AddPart(*data, "merge", "Join several", "NAMEs, in order", 0, RunMerge,
          "Example: linnet data merge books chats -o all")
      .AddOut("NAME to write");
  const Part shuffle = AddPart(*data, "shuffle", "Put the documents in another order", "NAME", 1, RunShuffle,
                               "Example: linnet data shuffle all -o mixed --seed 7");
  shuffle.AddOut("NAME to write");
  shuffle.AddSeed();
  const Part split = AddPart(*data, "split", "Divide the documents in two parts, drawn at random", "NAME", 1,
                             RunSplit, "Example: linnet data split all -o all --held-out 0.05");
  split.AddOut("Writes NAME-train and NAME-held-out");
  split.AddSeed();
  split.command->add_option("--held-out", split.arguments->held_out, "Part of the documents that is held out")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  data->footer("Example: linnet data prepare book.txt -o book --tokenizer bytes");
}

}  // namespace linnet

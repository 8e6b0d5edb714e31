#include "serve/constraints.h"

#include <fmt/format.h>

#include <list>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "infer/grammar_constraint.h"
#include "infer/json_schema.h"
#include "serve/fields.h"
#include "serve/http.h"
#include "serve/tools.h"

namespace linnet {
namespace {

constexpr size_t kMostGrammars = 32;

/// Compiled grammars, the last used first, for the vocabulary that was asked for last.
class Compiled {
 public:
  std::shared_ptr<GrammarMatcher> Find(const std::string& text, const Tokenizer& tokenizer) {
    std::shared_ptr<const VocabularyTree> tree;
    {
      const std::lock_guard lock(mutex_);
      if (tokenizer_ != &tokenizer || name_ != tokenizer.name() || tree_->vocab() != tokenizer.vocab()) {
        known_.clear();
        tokenizer_ = &tokenizer;
        name_ = tokenizer.name();
        tree_ = std::make_shared<VocabularyTree>(tokenizer);
      }
      for (auto at = known_.begin(); at != known_.end(); ++at) {
        if (at->first != text) continue;
        known_.splice(known_.begin(), known_, at);
        return at->second;
      }
      tree = tree_;
    }
    auto matcher = GrammarMatcher::Make(Grammar(text, "grammar", kRoot), tree);
    const std::lock_guard lock(mutex_);
    if (tree != tree_) return matcher;
    known_.emplace_front(text, matcher);
    if (known_.size() > kMostGrammars) known_.pop_back();
    return matcher;
  }

  static constexpr const char* kRoot = "linnet-answer";

 private:
  std::mutex mutex_;
  const Tokenizer* tokenizer_ = nullptr;
  std::string name_;
  std::shared_ptr<const VocabularyTree> tree_;
  std::list<std::pair<std::string, std::shared_ptr<GrammarMatcher>>> known_;
};

/// A form that is asked for, and by which field.
struct Form {
  std::string field, grammar;
};

/// What `make` gives; Error becomes one of the request's.
template <class Make>
Form FormOf(const std::string& field, const Make& make) {
  try {
    return {field, make()};
  } catch (const HttpError&) {
    throw;
  } catch (const Error& error) {
    throw HttpError(400, error.what(), field);
  }
}

std::optional<Form> OfResponseFormat(const Fields& fields) {
  const Json* format = fields.Find("response_format");
  if (format == nullptr) return {};
  const Fields said(*format, "response_format.");
  const std::string type = said.String("type").value_or("");
  if (type == "text") return {};
  if (type == "json_object") return Form{"response_format", JsonObjectGrammar()};
  if (type != "json_schema") said.Refuse("type", "must be text, json_object or json_schema");
  const Json* named = said.Find("json_schema");
  if (named == nullptr) said.Refuse("json_schema", "is missing");
  const std::string field = "response_format.json_schema.schema";
  const Json* schema = Fields(*named, "response_format.json_schema.").Find("schema");
  if (schema == nullptr) throw HttpError(400, fmt::format("'{}' is missing", field), field);
  return FormOf(field, [&] { return JsonSchemaGrammar(schema->dump(), "schema"); });
}

std::optional<Form> OfFormat(const Fields& fields) {
  const Json* format = fields.Find("format");
  if (format == nullptr || *format == "") return {};
  if (*format == "json") return Form{"format", JsonObjectGrammar()};
  if (!format->is_object()) fields.Refuse("format", "must be \"json\" or a JSON schema");
  return FormOf("format", [&] { return JsonSchemaGrammar(format->dump(), "schema"); });
}

std::optional<Form> OfGrammar(const Fields& fields) {
  const auto grammar = fields.String("grammar");
  if (!grammar || grammar->empty()) return {};
  return Form{"grammar", *grammar};
}

std::optional<Form> OfToolChoice(const Json& request) {
  const std::string schema = ForcedCallSchema(request);
  if (schema.empty()) return {};
  return FormOf("tools", [&] {
    const std::string call = JsonSchemaGrammar(schema, "tools");
    return call + "linnet-call ::= \"```json\\n\" root \"\\n```\"\n";
  });
}

/// Rules for the rest of a thought, up to and with its end. At each rule so many characters of the end have
/// been read (an automaton after Knuth, Morris and Pratt, 1977; only its first character repeats a start).
std::string ThoughtRules() {
  constexpr std::string_view kEnd = "</think>";
  std::string rules;
  for (size_t read = 0; read < kEnd.size(); ++read) {
    const char next = kEnd[read];
    const std::string after = read + 1 == kEnd.size() ? "" : fmt::format(" linnet-thought{}", read + 1);
    rules += fmt::format("linnet-thought{} ::= \"{}\"{} | ", read, next, after);
    rules += next == '<' ? "[^<] linnet-thought0\n"
                         : fmt::format("\"<\" linnet-thought1 | [^<{}] linnet-thought0\n", next);
  }
  return rules;
}

/// A grammar for all that the model writes, of one for the answer.
std::string Whole(const Form& form, bool conversation, std::string_view begun) {
  const char* answer = form.field == "tools" ? "linnet-call" : "root";
  const bool thinks = begun.ends_with("<think"), has_thought = begun.ends_with("</think");
  std::string start = conversation ? "\" \"? " : "";
  if (thinks || has_thought) start = fmt::format("\">\" {} [ \\n]{{0,2}} ", thinks ? "linnet-thought0" : "");
  std::string whole = fmt::format("{}\n{} ::= {}{}\n", form.grammar, Compiled::kRoot, start, answer);
  if (thinks) whole += ThoughtRules();
  return whole;
}

}  // namespace

std::unique_ptr<Constraint> ConstraintOf(const Json& request, const Tokenizer& tokenizer,
                                         std::string_view begun) {
  const Fields fields(request);
  std::optional<Form> form;
  for (std::optional<Form> next :
       {OfResponseFormat(fields), OfFormat(fields), OfGrammar(fields), OfToolChoice(request)}) {
    if (!next) continue;
    if (form)
      throw HttpError(
          400, fmt::format("'{}' and '{}' both say what the answer must look like", form->field, next->field),
          next->field);
    form = std::move(next);
  }
  if (!form) return nullptr;
  static Compiled compiled;
  try {
    return compiled.Find(Whole(*form, request.contains("messages"), begun), tokenizer)->NewText();
  } catch (const Error& error) {
    throw HttpError(400, error.what(), form->field);
  }
}

}  // namespace linnet

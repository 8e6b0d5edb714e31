#include "text/tokenizer_of.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/file.h"
#include "text/tokenizer_json.h"
#include "text/world.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

/// Files that vocabularies are known by. vocab: what such a file has; 0 if that differs from file to file.
struct KnownFile {
  const char* name;
  const char* short_name;
  int64_t vocab;
};
constexpr KnownFile kKnownFiles[] = {
    {"rwkv_vocab_v20230424.txt", "world", 65530},
    {"20B_tokenizer.json", "20B", 50277},
    {"tokenizer.json", "", 0},
    {"vocab.txt", "", 0},
};

constexpr const char* kBytes = "bytes";

/// Whether a model with `rows` of embedding may use a tokenizer with `ids`: the rest is padding, in a small
/// vocabulary to the next multiple of 64.
bool Fits(int64_t ids, int64_t rows) {
  return ids <= rows && (rows - ids <= rows / 16 || rows == (ids + 63) / 64 * 64);
}

bool IsFile(const fs::path& path) {
  std::error_code error;  // a folder that cannot be read holds nothing for us
  return fs::exists(path, error) && !fs::is_directory(path, error);
}

std::string FileOf(const std::string& name) {
  for (const KnownFile& known : kKnownFiles) {
    if (!name.empty() && name == known.short_name) return known.name;
  }
  return name;
}

std::string Joined(const std::vector<std::string>& parts, const std::string& separator) {
  std::string joined;
  for (const std::string& part : parts) joined += (joined.empty() ? "" : separator) + part;
  return joined;
}

std::string Listed(const std::vector<fs::path>& folders) {
  std::vector<std::string> names;
  for (const fs::path& folder : folders) names.push_back(folder.empty() ? "." : folder.string());
  return Joined(names, ", ");
}

std::unique_ptr<Tokenizer> Checked(std::unique_ptr<Tokenizer> tokenizer, const TokenizerClues& clues) {
  Check(Fits(tokenizer->vocab(), clues.vocab),
        "{}: the model has a vocabulary of {}, the tokenizer '{}' one of {}: it is not this model's",
        clues.model, clues.vocab, tokenizer->name(), tokenizer->vocab());
  return tokenizer;
}

/// The tokens one after the other if each is a byte, and not every byte is one.
std::optional<std::string> Letters(const std::vector<std::string>& tokens) {
  std::string letters;
  for (const std::string& token : tokens) {
    if (token.size() != 1) return std::nullopt;
    letters += token;
  }
  return letters.size() < 256 ? std::optional(letters) : std::nullopt;
}

/// A known file around the model that fits; null if there is none. `misfits` gets those that do not.
std::unique_ptr<Tokenizer> Found(const TokenizerClues& clues, std::vector<std::string>& misfits) {
  for (const fs::path& folder : TokenizerFolders(clues.model)) {
    for (const KnownFile& known : kKnownFiles) {
      const fs::path path = folder / known.name;
      if (!IsFile(path) || (known.vocab > 0 && !Fits(known.vocab, clues.vocab))) continue;
      try {
        auto tokenizer = OpenTokenizerFile(path);
        if (Fits(tokenizer->vocab(), clues.vocab)) return tokenizer;
        misfits.push_back(fmt::format("{} has a vocabulary of {}", path.string(), tokenizer->vocab()));
      } catch (const Error& error) {  // a file of that name may be anything
        misfits.push_back(error.what());
      }
    }
  }
  return nullptr;
}

[[noreturn]] void FailToFind(const TokenizerClues& clues, const std::vector<std::string>& misfits) {
  std::string needed = clues.named.empty() ? "the vocabulary it was trained with" : clues.named;
  for (const KnownFile& known : kKnownFiles) {
    if (clues.named.empty() && known.vocab > 0 && Fits(known.vocab, clues.vocab)) needed = known.name;
  }
  Fail(
      "{}: found no tokenizer for its vocabulary of {}; put {} beside the model or in one of: {}; or give it "
      "with "
      "--tokenizer FILE{}; `linnet logits` works on token ids instead",
      clues.model, clues.vocab, needed, Listed(TokenizerFolders(clues.model)),
      misfits.empty() ? "" : " (what was found does not fit: " + Joined(misfits, "; ") + ")");
}

/// The file that the model's file names, if it lies around the model; else null.
std::unique_ptr<Tokenizer> Named(const TokenizerClues& clues) {
  const fs::path file = fs::path(FileOf(clues.named)).filename();  // never a path out of these folders
  if (file.empty()) return nullptr;
  for (const fs::path& folder : TokenizerFolders(clues.model)) {
    if (IsFile(folder / file)) return OpenTokenizerFile(folder / file);
  }
  return nullptr;
}

}  // namespace

std::unique_ptr<Tokenizer> OpenTokenizerFile(const fs::path& path) {
  const std::string text = ReadFile(path), name = path.filename().string();
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && text[first] == '{') return ParseTokenizerJson(text, path.string(), name);
  return std::make_unique<WorldTokenizer>(name, ParseWorldVocabulary(text, path.string()));
}

std::vector<fs::path> TokenizerFolders() {
  std::vector<fs::path> folders;
  const auto set = [](const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0' ? value : nullptr;
  };
  if (const char* folder = set("LINNET_TOKENIZERS")) folders.emplace_back(folder);
  if (const char* data = set("XDG_DATA_HOME")) {
    folders.push_back(fs::path(data) / "linnet");
  } else if (const char* home = set("HOME")) {
    folders.push_back(fs::path(home) / ".local" / "share" / "linnet");
  }
  return folders;
}

std::vector<fs::path> TokenizerFolders(const std::string& model) {
  const fs::path beside = fs::path(model).parent_path();
  std::vector<fs::path> folders{beside, (beside.empty() ? fs::path(".") : beside) / ".."};
  for (fs::path& folder : TokenizerFolders()) folders.push_back(std::move(folder));
  return folders;
}

fs::path FindTokenizer(const std::string& name_or_file) {
  if (name_or_file == kBytes) return {};
  if (IsFile(name_or_file)) return name_or_file;
  const std::string file = FileOf(name_or_file);
  const std::vector<fs::path> folders = TokenizerFolders();
  for (const fs::path& folder : folders) {
    if (IsFile(folder / file)) return folder / file;
  }
  Fail("there is no tokenizer '{}': it is neither bytes nor a file, here or in: {}", name_or_file,
       Listed(folders));
}

std::unique_ptr<Tokenizer> MakeTokenizer(const std::string& name_or_file) {
  const fs::path file = FindTokenizer(name_or_file);
  if (file.empty()) return std::make_unique<BytesTokenizer>();
  return OpenTokenizerFile(file);
}

std::unique_ptr<Tokenizer> TokenizerOf(const TokenizerClues& clues) {
  if (!clues.wanted.empty()) return Checked(MakeTokenizer(clues.wanted), clues);
  if (clues.named == kBytes) return Checked(std::make_unique<BytesTokenizer>(), clues);
  const bool has_tokens = std::any_of(clues.tokens.begin(), clues.tokens.end(),
                                      [](const std::string& token) { return !token.empty(); });
  if (has_tokens) {
    const std::string name = "the vocabulary in " + fs::path(clues.model).filename().string();
    if (const auto letters = Letters(clues.tokens)) {
      return Checked(std::make_unique<LettersTokenizer>(name, *letters), clues);
    }
    return Checked(std::make_unique<WorldTokenizer>(name, clues.tokens), clues);
  }
  if (auto named = Named(clues)) return Checked(std::move(named), clues);
  std::vector<std::string> misfits;
  if (auto found = Found(clues, misfits)) return found;
  if (clues.named.empty() && clues.vocab == 256) return std::make_unique<BytesTokenizer>();
  FailToFind(clues, misfits);
}

}  // namespace linnet

// Finds the tokenizer of a model, so that nobody needs to name it: in the model's file, beside it, or where
// tokenizers are kept. What does not fit the model's vocabulary is refused.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace linnet {

/// Reads a vocabulary: the lines of a World vocabulary or a tokenizer.json, told apart by their content. The
/// tokenizer is called as the file is. Throws Error, starting with the path, if it is neither.
std::unique_ptr<Tokenizer> OpenTokenizerFile(const std::filesystem::path& path);

/// "bytes", the path of a file, or the name of one in TokenizerFolders(); "world" is short for
/// rwkv_vocab_v20230424.txt, "20B" for 20B_tokenizer.json. Throws Error, saying where it looked, if there is
/// none.
std::unique_ptr<Tokenizer> MakeTokenizer(const std::string& name_or_file);

/// The file that MakeTokenizer reads for that name; "" for bytes. Throws Error likewise.
std::filesystem::path FindTokenizer(const std::string& name_or_file);

/// Where tokenizers are looked for that are not beside a model: the folder in the environment's
/// LINNET_TOKENIZERS, then linnet in XDG_DATA_HOME or ~/.local/share.
std::vector<std::filesystem::path> TokenizerFolders();
/// Where a model's tokenizer may lie: beside its file, one folder up, and in these.
std::vector<std::filesystem::path> TokenizerFolders(const std::string& model);

/// What is known of a model when its tokenizer is chosen.
struct TokenizerClues {
  std::string model;        // path of its file: messages begin with it
  int64_t vocab = 0;        // rows of its embedding
  std::string wanted = {};  // what the user asked for: as for MakeTokenizer; "" leaves the choice
  std::string named = {};   // what its file names
  std::vector<std::string> tokens = {};  // bytes of each token, by id, if its file holds them
};

/// The first that there is of: the tokenizer wanted; "bytes", if the file names it; the tokens in the file;
/// the file that the model's file names, or else one of a known name that fits the vocabulary, beside the
/// model, one folder up, or in TokenizerFolders(); bytes for a vocabulary of 256. A model may have some rows
/// more than its tokenizer has ids, as padding, but not a sixteenth. Throws Error if there is none, saying
/// which file is needed and where to put it, or if the one wanted, named or held does not fit.
std::unique_ptr<Tokenizer> TokenizerOf(const TokenizerClues& clues);

}  // namespace linnet

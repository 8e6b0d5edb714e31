// Turns text into a binidx (formats/binidx.h): what `linnet data prepare` does.
//
// The input is cut into blocks of about a megabyte, which threads tokenise side by side and the caller writes
// in the order of the input: the result does not depend on the number of threads, and memory not on the size
// of the data.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "text/chat.h"
#include "text/tokenizer.h"

namespace linnet {

struct PrepareOptions {
  /// Files ending in .jsonl hold a document a line (train/documents.h), any other file is one document; of
  /// folders, all .jsonl, .txt and .md files in them, in the order of their paths. Empty files are left out.
  std::vector<std::string> inputs;
  std::filesystem::path out;  // NAME
  const Tokenizer* tokenizer = nullptr;
  const ChatTemplate* chat = nullptr;
  bool mask = true;  // of conversations, learn the answers only
  /// Told how many bytes of how many were read.
  std::function<void(int64_t done, int64_t total)> on_progress;
};

struct Prepared {
  int64_t files = 0, bytes = 0, documents = 0, tokens = 0;
  int64_t learnt = 0;  // tokens that are to be learnt
};

/// Throws Error, naming file and line, if something cannot be read; nothing is written then.
Prepared PrepareData(const PrepareOptions& options);

}  // namespace linnet

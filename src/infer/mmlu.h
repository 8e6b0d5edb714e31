// MMLU (Hendrycks et al., "Measuring massive multitask language understanding", 2021): questions with four
// choices in 57 subjects, a CSV file each, and the prompts that models are asked them with.
//
// A record is question, choices, answer. The answer is a letter or the number of the choice from 0; a first
// record "question, ..., answer" is a header. The subject is the file's name without _dev, _val or _test.
//
// Forms of the prompt, both answered by a letter after a blank:
//   chat     RWKV-LM's (RWKV-v7/rwkv_mmlu_eval.py), a turn of a conversation
//   plain    the paper's: a heading, then examples ending in "Answer:" and the letter
// Worked examples (shots) go before the question in the same form.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "infer/datasets.h"

namespace linnet {

struct MmluItem {
  std::string question;
  std::vector<std::string> choices;  // 2 to 26
  int answer;
};

struct MmluSubject {
  std::string name;  // "abstract algebra"
  std::vector<MmluItem> items;
};

/// Throws Error, naming file and line, if a record has too few fields or an answer that is no choice.
MmluSubject ReadMmluSubject(const std::filesystem::path& file);
/// All .csv files of a folder, by name, or the one file.
std::vector<MmluSubject> ReadMmlu(const std::filesystem::path& path);

enum class MmluForm { kChat, kPlain };

/// The question as a model is asked it, after worked `examples`.
QuestionText AskMmlu(MmluForm form, const std::string& subject, std::span<const MmluItem> examples,
                     const MmluItem& item);

}  // namespace linnet

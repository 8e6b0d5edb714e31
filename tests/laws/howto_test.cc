// The questions and answers that ship with linnet: every line is sound, nothing is asked twice, and what is
// held out to measure with is asked nowhere else.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "base/file.h"

namespace linnet {
namespace {

using nlohmann::json;

std::vector<json> Lines(const std::string& name) {
  std::vector<json> lines;
  std::istringstream text(ReadFile(std::string(LINNET_SOURCE_DIR) + "/data/" + name));
  for (std::string line; std::getline(text, line);) lines.push_back(json::parse(line));
  return lines;
}

/// A question as far as it counts: small letters and digits, a blank between words.
std::string Bare(const std::string& question) {
  std::string bare;
  for (const char c : question) {
    const bool word = std::isalnum(static_cast<unsigned char>(c)) != 0;
    if (word) bare += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (!word && !bare.empty() && bare.back() != ' ') bare += ' ';
  }
  while (bare.ends_with(' ')) bare.pop_back();
  return bare.empty() ? question : bare;
}

bool IsPlainText(const std::string& text) {
  return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; }) && !text.starts_with(' ') &&
         !text.ends_with(' ') && text.find("  ") == std::string::npos;
}

TEST(Howto, EveryPairIsSound) {
  const std::set<std::string> keys{"id", "topic", "follows", "questions", "answer"};
  std::set<std::string> ids;
  size_t phrasings = 0;
  for (const json& pair : Lines("howto.jsonl")) {
    const auto id = pair.at("id").get<std::string>();
    for (const auto& [key, value] : pair.items()) EXPECT_TRUE(keys.contains(key)) << id << ": " << key;
    EXPECT_FALSE(pair.at("topic").get<std::string>().empty()) << id;
    // What a pair follows stands before it.
    EXPECT_TRUE(!pair.contains("follows") || ids.contains(pair["follows"].get<std::string>())) << id;
    EXPECT_TRUE(ids.insert(id).second) << id << " comes twice";
    const auto answer = pair.at("answer").get<std::string>();
    EXPECT_TRUE(IsPlainText(answer)) << id;
    EXPECT_GE(answer.size(), 4u) << id;
    EXPECT_LE(answer.size(), 540u) << id;
    EXPECT_GE(pair.at("questions").size(), 2u) << id;
    for (const auto& question : pair["questions"]) {
      EXPECT_TRUE(IsPlainText(question.get<std::string>())) << id << ": " << question;
      EXPECT_LE(question.get<std::string>().size(), 100u) << id << ": " << question;
      ++phrasings;
    }
  }
  EXPECT_GE(ids.size(), 1000u);
  EXPECT_GE(phrasings, 4 * ids.size());
}

TEST(Howto, NothingIsAskedTwice) {
  std::map<std::string, std::string> asked;  // a question with what it follows -> pair
  for (const json& pair : Lines("howto.jsonl")) {
    const auto id = pair.at("id").get<std::string>();
    for (const auto& question : pair.at("questions")) {
      const std::string key = pair.value("follows", "") + "|" + Bare(question.get<std::string>());
      const auto [found, fresh] = asked.emplace(key, id);
      EXPECT_TRUE(fresh) << question << " is asked by " << found->second << " and " << id;
    }
  }
  std::set<std::string> ids;
  for (const auto& [question, id] : asked) ids.insert(id);
  EXPECT_EQ(Lines("howto-heldout.jsonl").size(), 100u);
  for (const char* name : {"howto-heldout.jsonl", "howto-validation.jsonl"}) {
    for (const json& line : Lines(name)) {
      const auto question = line.at("question").get<std::string>();
      const auto id = line.at("id").get<std::string>();
      EXPECT_TRUE(ids.contains(id)) << question << " is of no pair";
      EXPECT_TRUE(asked.emplace("|" + Bare(question), id).second) << question << " is not held out";
    }
  }
}

}  // namespace
}  // namespace linnet

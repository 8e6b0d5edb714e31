// linnet chat in a pipe: each line of standard input is a message or a command, standard output has answers.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/program.h"

namespace linnet {
namespace {

class ChatCommand : public testing::Test {
 protected:
  /// A run with this input; the answers are short and have no line ends in them.
  Outcome Chat(const std::string& input, std::vector<std::string> arguments = {}) const {
    const std::vector<std::string> fixed = {"chat",  model_, "-n",         "12", "--seed",        "5",
                                            "--ban", "0",    "--ban-text", "\n", "--temperature", "1"};
    arguments.insert(arguments.begin(), fixed.begin(), fixed.end());
    return RunLinnet(arguments, input);
  }
  std::string Answers(const std::string& input, std::vector<std::string> arguments = {}) const {
    const Outcome outcome = Chat(input, std::move(arguments));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.out;
  }
  static int Lines(const std::string& text) {
    return static_cast<int>(std::count(text.begin(), text.end(), '\n'));
  }

  TemporaryFolder folder_;
  std::string model_ = WriteTinyModel(folder_ / "m.safetensors").string();
};

TEST_F(ChatCommand, EachLineIsAMessageAndGetsAnAnswer) {
  const std::string answers = Answers("one\ntwo\n\nthree\n");
  EXPECT_EQ(Lines(answers), 3);
  EXPECT_EQ(Answers("one\ntwo\nthree"), answers);
  const std::vector<std::string> plain = {"--template",
                                          "plain"};  // nothing stands between question and answer
  EXPECT_NE(Answers("one\ntwa\n", plain), Answers("one\ntwo\n", plain));
  EXPECT_TRUE(answers.starts_with(Answers("one\n")));
  EXPECT_EQ(Answers("one\r\ntwo\r\nthree\r\n"), answers);
}

TEST_F(ChatCommand, ABackslashJoinsLines) {
  EXPECT_EQ(Lines(Answers("one\\\ntwo\\\nthree\n")), 1);
  EXPECT_EQ(Answers("one\\\n\\\ntwo\n"), Answers("one\\\ntwo\n"));  // no empty line within a message
  EXPECT_NE(Answers("one\\\ntwo\n"), Answers("one two\n"));
}

TEST_F(ChatCommand, OneQuestion) {
  const std::string answer = Answers("", {"-p", "one"});
  EXPECT_EQ(answer, Answers("one\n"));
  EXPECT_NE(answer, Answers("", {"-p", "one", "--system", "Be brief."}));
  EXPECT_NE(answer, Answers("", {"-p", "one", "--template", "world"}));
  EXPECT_EQ(answer, Answers("", {"-p", "one", "--template", "question"}));  // what bytes are taken for
  const auto object = nlohmann::json::parse(Answers("", {"-p", "one", "--json"}));
  EXPECT_TRUE(object["answer"].is_string());
  EXPECT_EQ(object["end"], "length");
  EXPECT_EQ(object["tokens"], 12);
  EXPECT_EQ(object["seed"], 5);
}

TEST_F(ChatCommand, UndoAndResetForget) {
  // The seed moves on with every answer, so a run without what was forgotten must begin further on.
  const std::string all = Answers("one\ntwo\nthree\n/undo 2\n/set seed 5\nfour\n");
  EXPECT_EQ(Lines(all), 4);
  EXPECT_TRUE(all.ends_with("\n" + Answers("one\n/set seed 5\nfour\n").substr(Answers("one\n").size())));
  EXPECT_EQ(Answers("one\n/reset\n/set seed 5\none\n"), Answers("one\n") + Answers("one\n"));
  EXPECT_EQ(Answers("one\n+reset\n/set seed 5\none\n"), Answers("one\n") + Answers("one\n"));
  EXPECT_NE(Chat("one\n/undo\n").err.find("1 turn taken back, 0 left"), std::string::npos);
}

TEST_F(ChatCommand, RetryAnswersAgainAndMoreGoesOn) {
  const std::string one = Answers("one\n");
  EXPECT_EQ(Answers("one\n/set seed 5\n/retry\n"), one + one);
  EXPECT_EQ(Answers("one\n/set seed 5\n+\n"), one + one);
  EXPECT_NE(Answers("one\n/retry\n"), one + one);
  const std::string greedy = Answers("one\n/more\n", {"--top-k", "1"});
  std::string joined = greedy;
  joined.erase(joined.find('\n'), 1);
  EXPECT_EQ(joined, Answers("/set tokens 24\none\n", {"--top-k", "1"}));
}

TEST_F(ChatCommand, AsidesDoNotBecomePartOfTheConversation) {
  const std::string plain = Answers("one\n/set seed 8\ntwo\n");
  for (const std::string aside : {"/ask x", "/do x", "/gen x", "+gen x", "+i x", "+qa x"}) {
    const std::string with = Answers("one\n" + aside + "\n/set seed 8\ntwo\n");
    EXPECT_EQ(Lines(with), 3) << aside;
    EXPECT_TRUE(with.ends_with(plain.substr(Answers("one\n").size()))) << aside;
  }
  // A question aside is asked as the first one, whatever was said before.
  const std::string first = Answers("one\n");
  EXPECT_TRUE(Answers("zero\n/set seed 5\n/ask one\n").ends_with("\n" + first));
  EXPECT_TRUE(Answers("zero\n/gen x\n/set seed 5\n/gen one\n/set seed 5\n/retry\n")
                  .ends_with(Answers("", {"--template", "plain", "-p", "one"}) +
                             Answers("", {"--template", "plain", "-p", "one"})));
}

TEST_F(ChatCommand, SettingsChangeDuringTheChat) {
  const std::string cold = Answers("one\n", {"--top-k", "1"});
  EXPECT_EQ(Answers("/set top-k 1\none\n"), cold);
  EXPECT_EQ(Answers("/set tokens 3\n/gen one\n").size(), 4u);
  const std::string shown = Chat("/set\n").err;
  for (const char* part : {"tokens               12", "top-p                0.85", "mirostat-tau"})
    EXPECT_NE(shown.find(part), std::string::npos) << shown;
  EXPECT_NE(Answers("/system Be brief.\none\n"), Answers("one\n"));
  EXPECT_EQ(Answers("/system Be brief.\none\n"), Answers("one\n", {"--system", "Be brief."}));
  const std::string world = Answers("one\n", {"--template", "world", "--top-p", "0.85", "--presence-penalty",
                                              "0", "--frequency-penalty", "0"});
  EXPECT_EQ(Answers("/template world\none\n"), world);
}

TEST_F(ChatCommand, ThinkingIsNotShown) {
  const std::vector<std::string> flags = {"--template", "g1", "--think", "fast"};
  const std::string fast = Answers("one\n", flags);
  EXPECT_EQ(fast.find("think"), std::string::npos);
  EXPECT_EQ(Answers("/think fast\none\n", {"--template", "g1"}), fast);
  EXPECT_NE(Answers("one\n", {"--template", "g1"}), fast);
  // This model never ends its thought, so there is no answer.
  const auto object = nlohmann::json::parse(
      Answers("", {"--template", "g1", "--think", "on", "--bias-text", ">=50", "--json", "-p", "one"}));
  EXPECT_EQ(object["answer"], "");
  EXPECT_EQ(object["thought"], std::string(11, '>'));
}

TEST_F(ChatCommand, StopsEndAnswers) {
  const std::string answer = Answers("one\n");
  const std::string stop = answer.substr(6, 2);
  EXPECT_EQ(Answers("one\n", {"--stop", stop}), answer.substr(0, answer.find(stop)) + "\n");
}

TEST_F(ChatCommand, SaveAndLoadGoOn) {
  const std::string file = folder_ / "talk";
  const std::string all = Answers("one\ntwo\n/set seed 9\nthree\n");
  const std::string saved = Answers("one\ntwo\n/save " + file + "\n");
  const std::string rest = all.substr(saved.size());
  EXPECT_EQ(Answers("/load " + file + "\n/set seed 9\nthree\n"), rest);
  EXPECT_EQ(Answers("/set seed 9\nthree\n", {"--load", file}), rest);
  EXPECT_EQ(Answers("/undo\n/set seed 6\ntwo\n/set seed 9\nthree\n", {"--load", file}),
            saved.substr(saved.find('\n') + 1) + rest);
  const Outcome history = Chat("/history\n", {"--load", file});
  EXPECT_NE(history.err.find("Question: one"), std::string::npos) << history.err;
  EXPECT_EQ(Answers("/set seed 9\nthree\n", {"--state-in", file}), rest);  // it is a state, too
}

TEST_F(ChatCommand, StatesGoInAndOut) {
  const std::string state = folder_ / "state";
  const std::string all = Answers("one\n/set seed 5\ntwo\n");
  const std::string first = Answers("one\n", {"--state-out", state});
  EXPECT_EQ(first + Answers("two\n", {"--state-in", state}), all);
  EXPECT_TRUE(FailsWith({"chat", model_, "--load", state}, {state, "without a conversation", "--state-in"}));
}

TEST_F(ChatCommand, HelpListsEveryCommand) {
  const std::string help = Chat("/help\n").err;
  for (const char* command : {"/retry", "/more", "/undo", "/reset", "/gen", "/set", "/save", "/quit"})
    EXPECT_NE(help.find(command), std::string::npos) << command;
  EXPECT_EQ(Answers("/quit\none\n"), "");
  EXPECT_EQ(Lines(Answers("//help\n")), 1);  // a message
}

TEST_F(ChatCommand, CtrlCKeepsWhatWasSaid) {
  WriteFile(folder_ / "in", "one\ntwo\n");
  const std::string out = folder_ / "out", state = folder_ / "state";
  const std::string command = fmt::format(
      "timeout --foreground --preserve-status --signal=INT 2 {} chat {} -n 1000000000 --ban 0 --ban-text "
      "'\n' "
      "--state-out {} <{} >{} 2>{}.err",
      Quoted(LINNET_PROGRAM), Quoted(model_), Quoted(state), Quoted(folder_ / "in"), Quoted(out),
      Quoted(out));
  const int status = std::system(command.c_str());
  EXPECT_EQ(WEXITSTATUS(status), 130) << ReadFile(out + ".err");
  EXPECT_EQ(Lines(ReadFile(out)), 1);  // the second message was not answered any more
  EXPECT_TRUE(std::filesystem::exists(state));
}

TEST_F(ChatCommand, WithoutAModelTheOneThatShipsIsOpened) {
  // A copy of the program stands where nothing is shipped with it.
  const std::filesystem::path models = folder_ / "models",
                              program = folder_ / "a" / "b" / "c" / "d" / "linnet";
  std::filesystem::create_directories(program.parent_path());
  std::filesystem::copy_file(LINNET_PROGRAM, program);
  const auto run = [&](const std::string& environment) {
    const std::string command =
        fmt::format("{} {} chat -p hello -n 3 --seed 1 >{} 2>{}", environment, Quoted(program),
                    Quoted(folder_ / "out"), Quoted(folder_ / "err"));
    const int status = std::system(command.c_str());
    return WEXITSTATUS(status);
  };
  EXPECT_EQ(run("LINNET_MODELS="), 1);
  const std::string said = ReadFile(folder_ / "err");
  for (const char* part : {"models/starter.safetensors", "LINNET_MODELS", "recipes/starter/run"}) {
    EXPECT_NE(said.find(part), std::string::npos) << said;
  }
  std::filesystem::create_directories(models);
  std::filesystem::copy_file(model_, models / "starter.safetensors");
  EXPECT_EQ(run("LINNET_MODELS=" + Quoted(models)), 0) << ReadFile(folder_ / "err");
  // The same model beside the program, as in a build folder.
  std::filesystem::rename(models, folder_ / "a" / "models");
  EXPECT_EQ(run("LINNET_MODELS="), 0) << ReadFile(folder_ / "err");
  std::filesystem::rename(folder_ / "a" / "models", folder_ / "models");
  EXPECT_EQ(run("LINNET_MODELS="), 1);  // too far up
}

TEST_F(ChatCommand, MistakesAreNamed) {
  EXPECT_TRUE(FailsWith({"chat", model_, "--template", "elvish"}, {"elvish", "g1"}));
  EXPECT_TRUE(FailsWith({"chat", model_, "--think", "on"}, {"--think", "not trained to think"}));
  EXPECT_TRUE(FailsWith({"chat", model_, "--top-p", "2"}, {"--top-p"}));
  EXPECT_TRUE(FailsWith({"chat", model_, "--state-in", "a", "--system", "b"}, {"--state-in"}));
  const std::vector<std::pair<std::string, std::string>> lines = {{"/nonsense", "no command /nonsense"},
                                                                  {"/undo x", "'x' is not a number"},
                                                                  {"/set top-p 7", "top-p must lie between"},
                                                                  {"/set elvish 1", "'elvish'"},
                                                                  {"/retry", "nothing has been said"},
                                                                  {"/more", "no answer yet"},
                                                                  {"/think on", "not trained to think"},
                                                                  {"/think harder", "harder"},
                                                                  {"/save", "name of the file"},
                                                                  {"/load none/such", "none/such"},
                                                                  {"/gen", "the text is missing"}};
  for (const auto& [line, part] : lines)
    EXPECT_TRUE(FailsWith({"chat", model_}, {part}, line + "\n")) << line;
}

}  // namespace
}  // namespace linnet

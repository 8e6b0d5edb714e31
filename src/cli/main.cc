// The program: hands the command line to one command and turns errors into one line on stderr. Exit codes: 0
// done, 1 the work failed, 2 the command line was wrong, 130 stopped by Ctrl-C.
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "base/check.h"
#include "base/parallel.h"
#include "cli/commands.h"
#include "cli/lab_commands.h"

namespace linnet {
namespace {

int UsageError(const CLI::App& app, const CLI::ParseError& error) {
  std::string command = "linnet";
  const CLI::App* innermost = &app;
  while (!innermost->get_subcommands().empty()) {
    innermost = innermost->get_subcommands().front();
    command += " " + innermost->get_name();
  }
  // A word that stands where a command should is one that does not exist.
  const std::vector<std::string> unknown = innermost->remaining();
  const bool wants_command = !innermost->get_subcommands({}).empty();
  if (wants_command && !unknown.empty() && !unknown.front().starts_with('-')) {
    fmt::print(stderr, "linnet: there is no command '{} {}'; `{} --help` lists them\n", command,
               unknown.front(), command);
    return 2;
  }
  fmt::print(stderr, "linnet: {}; `{} --help` shows what is possible\n", error.what(), command);
  return 2;
}

int Run(int argc, char** argv) {
  CLI::App app{"linnet runs, trains, chats with, scores and converts RWKV networks.", "linnet"};
  app.set_version_flag("--version", "linnet " LINNET_VERSION, "Print the version");
  app.require_subcommand(0, 1);
  app.footer("`linnet COMMAND --help` explains a command and gives an example.");
  AddTrain(app);
  AddData(app);
  AddGenerate(app);
  AddChat(app);
  AddServe(app);
  AddLogits(app);
  AddInfo(app);
  AddBench(app);
  AddDoctor(app);
  AddState(app);
  AddTokenize(app);
  AddConvert(app);
  AddMerge(app);
  AddEval(app);
  AddEmbed(app);
  AddPlot(app);
  AddTask(app);
  AddCompare(app);
  AddExplain(app);
  AddDemo(app);
  try {
    app.parse(argc, argv);
    if (app.get_subcommands().empty()) fmt::print("{}", app.help());
    return 0;
  } catch (const CLI::Success& asked) {  // --help, --version
    return app.exit(asked);
  } catch (const CLI::RuntimeError& stop) {  // a command that ends with an exit code of its own
    return stop.get_exit_code();
  } catch (const CLI::ParseError& error) {
    return UsageError(app, error);
  }
}

}  // namespace
}  // namespace linnet

int main(int argc, char** argv) {
  linnet::WaitShortly(argv);
  try {
    const int code = linnet::Run(argc, argv);
    linnet::Check(std::fflush(stdout) == 0 && !std::ferror(stdout), "standard output: writing failed");
    return code;
  } catch (const std::exception& error) {
    fmt::print(stderr, "linnet: {}\n", error.what());
    return 1;
  }
}

// The command `tenure`: one subcommand a file in tools/cli.

#include <cstdio>
#include <string>
#include <vector>

#include "tenure/tools/cli/commands.h"

namespace {

constexpr char kHelp[] =
    "tenure: plans, packs and runs the tensor memory of compiled models.\n"
    "\n"
    "  tenure run --trace=FILE        runs a recorded schedule, planned into arenas, and checks it "
    "against the unplanned run\n"
    "  tenure plan --trace=FILE       shows where a schedule's buffers would go, without running "
    "it\n"
    "  tenure pack --input=FILE.csv   packs buffers with lifetimes: how little memory do they "
    "need, or do they fit?\n"
    "  tenure render --trace=FILE --output=plan.html\n"
    "                                 draws address over time, as .svg or .html\n"
    "  tenure devices                 lists the memory spaces of this machine\n"
    "\n"
    "'tenure COMMAND --help' explains each, with examples. Results go to stdout (--json: for "
    "machines), messages to stderr.\n"
    "Exit status: 0 done, 1 failed, 2 usage, 3 proven infeasible, 4 a deadline or budget ended "
    "without an answer.\n";

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (args.empty() || args[0] == "--help" || args[0] == "-h" || args[0] == "help") {
    std::fputs(kHelp, args.empty() ? stderr : stdout);
    return args.empty() ? tenure::cli::kUsage : tenure::cli::kDone;
  }
  for (const tenure::cli::Command& command : tenure::cli::kCommands) {
    if (args[0] == command.name) return command.run({args.data() + 1, args.size() - 1});
  }
  std::fprintf(stderr, "tenure: there is no command '%s'; 'tenure --help' lists what there is\n",
               args[0].c_str());
  return tenure::cli::kUsage;
}

// The command `tenure`: one subcommand a file in tools/cli.

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tenure/base/version.h"
#include "tenure/tools/cli/commands.h"
#include "tenure/tools/cli/output.h"

namespace {

constexpr std::string_view kHelp =
    R"(tenure: plans, packs and runs the tensor memory of compiled models.

  tenure plan --trace=FILE       where do the buffers of a recorded schedule go, and how
                                 much memory does that take?
  tenure run --trace=FILE        run the schedule, planned, and check every result against
                                 the same run unplanned
  tenure pack --input=FILE.csv   pack buffers with lifetimes: how little memory do they
                                 need, or do they fit?
  tenure render --trace=FILE --output=plan.html
                                 draw address over time, as .html or .svg
  tenure replay --log=FILE.csv --space=SPACE
                                 run a log of allocations and copies again in any memory
                                 space, check it and measure it
  tenure devices                 list the memory spaces of this machine

'tenure COMMAND --help' explains each, with examples; 'tenure --version' says which
version this is. A schedule to begin with is
tools/demo_schedules/tiny_transformer.json.gz. Results go to stdout (with --json for
machines), messages to stderr. Sizes are in bytes, and may be written 64K, 16MiB, 2G.

)";

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> args(argv + 1, argv + argc);
  const std::string help = absl::StrCat(kHelp, tenure::cli::kExitStatusHelp);
  if (args.empty()) {
    return tenure::cli::FailUsage("", "which command? 'tenure --help' lists what there is");
  }
  if (args[0] == "--help" || args[0] == "-h" || args[0] == "help") {
    if (args.size() == 1 || args[0] != "help") return tenure::cli::Print("", help);
    args = {args[1], "--help"};
  }
  if (args[0] == "--version") {
    return tenure::cli::Print("", absl::StrCat("tenure ", tenure::kVersion, "\n"));
  }
  for (const tenure::cli::Command& command : tenure::cli::kCommands) {
    if (args[0] == command.name) return command.run({args.data() + 1, args.size() - 1});
  }
  return tenure::cli::FailUsage(
      "", absl::StrCat("there is no command '", args[0], "'; 'tenure --help' lists what there is"));
}

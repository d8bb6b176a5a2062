// The subcommands of `tenure`. Each takes the arguments after its name and returns the exit status.

#ifndef TENURE_TOOLS_CLI_COMMANDS_H_
#define TENURE_TOOLS_CLI_COMMANDS_H_

#include <string>
#include <string_view>

#include "absl/types/span.h"

namespace tenure::cli {

using Args = absl::Span<const std::string>;

int RunCommand(Args args);
int PlanCommand(Args args);
int PackCommand(Args args);
int RenderCommand(Args args);
int ReplayCommand(Args args);
int DevicesCommand(Args args);

struct Command {
  std::string_view name;
  int (*run)(Args args);
};
inline constexpr Command kCommands[] = {{"run", RunCommand},       {"plan", PlanCommand},
                                        {"pack", PackCommand},     {"render", RenderCommand},
                                        {"replay", ReplayCommand}, {"devices", DevicesCommand}};

}  // namespace tenure::cli

#endif  // TENURE_TOOLS_CLI_COMMANDS_H_

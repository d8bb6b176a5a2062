// Flags of one subcommand: declared once, from which parsing, messages and --help are made.
//
// Example:
//   FlagSet flags("pack", "Packs buffers with lifetimes into as little memory as possible.");
//   flags.Add("input", "FILE", "the problem", &input, FlagSet::kRequired);
//   if (std::optional<int> exit = flags.Parse(args)) return *exit;      // --help, or a usage error
//   that was printed
//
// Values: --name=value or --name value; booleans: --name or --name=true|false. Bytes may carry K,
// M, G or T (1024-based, "64MiB" and "64M" are the same). Thread safety: thread-compatible.
// Ownership: borrows the variables.

#ifndef TENURE_TOOLS_CLI_FLAGS_H_
#define TENURE_TOOLS_CLI_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace tenure::cli {

// What the process ends with.
enum ExitCode : int {
  kDone = 0,
  kFailed = 1,
  kUsage = 2,
  kInfeasible = 3,  // proven
  kNoAnswer = 4,    // a deadline or budget ended first
};

struct Bytes {
  uint64_t value = 0;
};

absl::StatusOr<uint64_t> ParseBytes(std::string_view text);

class FlagSet {
 public:
  enum Need { kOptional, kRequired };
  using Target = std::variant<std::string*, bool*, int*, Bytes*, std::optional<Bytes>*,
                              std::optional<absl::Duration>*>;

  FlagSet(std::string command, std::string purpose)
      : command_(std::move(command)), purpose_(std::move(purpose)) {}

  // `choices`, if any, are all the values there are. Defaults are what the variables hold now.
  void Add(std::string name, std::string value_name, std::string help, Target target,
           Need need = kOptional, std::vector<std::string> choices = {});
  // For flags declared by somebody else.
  void MakeOptional(std::string_view name) { Find(name)->need = kOptional; }
  // Lines shown at the end of --help.
  void AddExample(std::string line) { examples_.push_back(std::move(line)); }
  void AddNotes(std::string notes) { notes_ = std::move(notes); }

  // Sets the variables. An exit code: --help was printed on stdout, or a usage error on stderr.
  std::optional<int> Parse(absl::Span<const std::string> args);

  std::string Help() const;

 private:
  struct Flag {
    std::string name, value_name, help, default_text;
    Target target;
    Need need;
    std::vector<std::string> choices;
    bool given = false;
  };
  absl::Status ParseAll(absl::Span<const std::string> args);
  absl::Status Set(Flag& flag, const std::string& value);
  Flag* Find(std::string_view name);

  std::string command_, purpose_, notes_;
  std::vector<Flag> flags_;
  std::vector<std::string> examples_;
};

}  // namespace tenure::cli

#endif  // TENURE_TOOLS_CLI_FLAGS_H_

// The flags of one subcommand. They are declared once; parsing, messages and --help are made from
// the declarations.
//
// Example:
//   std::string input;
//   FlagSet flags("pack", "Packs buffers with lifetimes into as little memory as possible.");
//   flags.Add("input", "FILE", "the problem", &input, FlagSet::kRequired);
//   if (std::optional<int> code = flags.Parse(args)) return *code;  // help, or an error
//
// Values are given as --name=value or --name value, booleans as --name or --name=true|false. Bytes
// may have a suffix K, M, G or T (powers of 1024; "64MiB" and "64M" are the same).
//
// Thread safety: thread-compatible. Ownership: borrows the variables, which must outlive the set.

#ifndef TENURE_TOOLS_CLI_FLAGS_H_
#define TENURE_TOOLS_CLI_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tenure/allocator/memory_space.h"

namespace tenure::cli {

struct Bytes {
  uint64_t value = 0;
};
// A number of things. It may be 0.
struct Count {
  uint64_t value = 0;
};
// An alignment: a number of bytes that is a power of two.
struct PowerOfTwo {
  uint64_t value = 1;
};

absl::StatusOr<uint64_t> ParseBytes(std::string_view text);

class FlagSet {
 public:
  enum Need { kOptional, kRequired };
  // An int is a count of at least 1.
  using Target = std::variant<std::string*, bool*, int*, Bytes*, std::optional<Bytes>*, PowerOfTwo*,
                              std::optional<Count>*, absl::Duration*,
                              std::optional<absl::Duration>*, MemorySpace*>;

  // `purpose` is at least one sentence, for --help.
  FlagSet(std::string command, std::string purpose)
      : command_(std::move(command)), purpose_(std::move(purpose)) {}

  // `choices`, if there are any, lists all allowed values. The defaults are the current values of
  // the variables.
  void Add(std::string name, std::string value_name, std::string help, Target target,
           Need need = kOptional, std::vector<std::string> choices = {});
  // More text for --help, in this order: a paragraph, the keys that --json prints, and examples.
  void AddParagraph(std::string text) { paragraphs_.push_back(std::move(text)); }
  void AddJsonKey(std::string key, std::string meaning) {
    json_keys_.emplace_back(std::move(key), std::move(meaning));
  }
  void AddExample(std::string line) { examples_.push_back(std::move(line)); }

  // Sets the variables. Returns an exit code if --help was printed on stdout, or a usage error on
  // stderr.
  std::optional<int> Parse(absl::Span<const std::string> args);
  // After Parse: returns whether the command line has the flag.
  bool Given(std::string_view name) const;

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

  std::string command_, purpose_;
  std::vector<Flag> flags_;
  std::vector<std::string> paragraphs_, examples_;
  std::vector<std::pair<std::string, std::string>> json_keys_;
};

}  // namespace tenure::cli

#endif  // TENURE_TOOLS_CLI_FLAGS_H_

// Parses the rules of exact search by name, for --rules.
//
//   absl::StatusOr<packing::SearchRules> rules = ParseRules("-dominance,-stacks");
//
// Thread safety: free functions. Errors: InvalidArgument, which lists the names.

#ifndef TENURE_TOOLS_CLI_SEARCH_RULES_H_
#define TENURE_TOOLS_CLI_SEARCH_RULES_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "tenure/planner/packing/solver.h"

namespace tenure::cli {

// All rules are on, except those named with a '-' before them. "-all" switches all rules off, and
// "+name" switches one on again. Entries are separated by commas and apply in order.
absl::StatusOr<packing::SearchRules> ParseRules(std::string_view text);

// "section-floors, stacks, ...".
std::string RuleNames();

}  // namespace tenure::cli

#endif  // TENURE_TOOLS_CLI_SEARCH_RULES_H_

#include "tenure/tools/cli/search_rules.h"

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "tenure/planner/packing/search_rules.h"

namespace tenure::cli {
namespace {

using packing::SearchRules;
using packing::exact::kNamedRules;
using packing::exact::NamedRule;

}  // namespace

std::string RuleNames() {
  return absl::StrJoin(kNamedRules, ", ",
                       [](std::string* out, const NamedRule& rule) { *out += rule.name; });
}

absl::StatusOr<SearchRules> ParseRules(std::string_view text) {
  SearchRules rules;
  for (std::string_view word : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    word = absl::StripAsciiWhitespace(word);
    const bool on = word[0] != '-';
    const std::string_view name = word.substr(word[0] == '-' || word[0] == '+' ? 1 : 0);
    bool known = name == "all";
    for (const NamedRule& rule : kNamedRules) {
      if (name != "all" && name != rule.name) continue;
      rules.*rule.on = on;
      known = true;
    }
    if (!known) {
      return absl::InvalidArgumentError(
          absl::StrCat("--rules: there is no rule '", name, "'; the rules are all, ", RuleNames()));
    }
  }
  return rules;
}

}  // namespace tenure::cli

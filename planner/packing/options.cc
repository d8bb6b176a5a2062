#include "tenure/planner/packing/options.h"

#include <optional>
#include <string_view>

namespace tenure::packing {

std::string_view EffortName(Effort effort) {
  switch (effort) {
    case Effort::kFast:
      return "fast";
    case Effort::kBalanced:
      return "balanced";
    case Effort::kOptimal:
      return "optimal";
  }
  return "unknown";
}

std::optional<Effort> ParseEffort(std::string_view name) {
  for (Effort effort : {Effort::kFast, Effort::kBalanced, Effort::kOptimal}) {
    if (name == EffortName(effort)) return effort;
  }
  return std::nullopt;
}

}  // namespace tenure::packing

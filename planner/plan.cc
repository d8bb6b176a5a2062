#include "tenure/planner/plan.h"

#include "absl/strings/str_cat.h"

namespace tenure {

std::string_view PlanModeName(PlanMode mode) {
  switch (mode) {
    case PlanMode::kNone:
      return "none";
    case PlanMode::kRemap:
      return "remap";
    case PlanMode::kArena:
      return "arena";
  }
  return "?";
}

absl::StatusOr<PlanMode> ParsePlanMode(std::string_view name) {
  for (PlanMode mode : {PlanMode::kNone, PlanMode::kRemap, PlanMode::kArena}) {
    if (name == PlanModeName(mode)) return mode;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown planner '", name, "'; there are none, remap and arena"));
}

}  // namespace tenure

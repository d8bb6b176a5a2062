#include "tenure/planner/shortage.h"

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "tenure/base/status_macros.h"

namespace tenure {
absl::Status FindConflict(const packing::SolveOptions& options, Shortage& shortage) {
  if (!shortage.happened()) {
    return absl::FailedPreconditionError("no shortage: the plan did not fail for its capacity");
  }
  if (!shortage.proven) {
    return absl::FailedPreconditionError(
        "it is not proven that the plan does not fit; try a higher effort or a later deadline");
  }
  packing::SolveOptions proof = options;
  proof.effort = packing::Effort::kOptimal;
  proof.capacity = shortage.capacity_bytes;
  TENURE_ASSIGN_OR_RETURN(shortage.why, packing::Explain(shortage.problem, proof, true));
  shortage.why.lower_bound = shortage.lower_bound_bytes;
  return absl::OkStatus();
}

std::string StepsText(const Schedule& schedule, packing::Time first, packing::Time last) {
  auto name = [&schedule](packing::Time step) -> std::string {
    const auto s = static_cast<size_t>(step);
    return s < schedule.steps().size() ? schedule.steps()[s].name : std::string();
  };
  if (last - first <= 1) return absl::StrCat(first, " (", name(first), ")");
  return absl::StrCat(first, " to ", last - 1, " (", name(first), " to ", name(last - 1), ")");
}

std::string ShortageText(const Shortage& shortage, const Schedule& schedule) {
  return absl::StrCat(
      "Arenas of ", shortage.space.ToString(),
      shortage.queue == 0 ? "" : absl::StrCat(", queue ", shortage.queue), ": ",
      packing::ExplanationText(shortage.problem, shortage.why,
                               {.item = [&shortage](uint32_t i) { return shortage.items[i].name; },
                                .moments =
                                    [&schedule](packing::Time first, packing::Time last) {
                                      return absl::StrCat(last - first <= 1 ? "step " : "steps ",
                                                          StepsText(schedule, first, last));
                                    }}));
}

}  // namespace tenure

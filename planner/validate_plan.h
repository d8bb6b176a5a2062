// ValidatePlan: checks from scratch whether a plan is right for a schedule.
//
// It computes the lives again. Two placed storages that share bytes must have lives apart in the
// order that the executor honours, or one must be written in place of the other with permission.
// All sums and lists must be what the placements say. Nothing rests on the labels, so they are not
// checked: the plan's name, deadline_hit, the names of placed storages, and the names, reasons and details in not_planned. Of
// lower_bound_bytes it is only checked that it is not above arena_bytes, and that `optimal` says
// whether they are equal. That no plan needs less is a claim of the planner; LoadPlan takes back
// what the lives of the storages do not prove.
//
// The check shares three parts with the planner: the liveness analysis, the rule for in-place
// writes and the making of reuse edges. It looks at every byte range by itself.
//
// Cost: n log n in the reads, writes and placements. Thread safety: pure function on a schedule
// that no thread changes meanwhile.
// Errors: FailedPrecondition if the plan is of another schedule, or the schedule's storages have
// changed since. Internal if the plan is wrong, for example two storages that live at once share
// bytes.

#ifndef TENURE_PLANNER_VALIDATE_PLAN_H_
#define TENURE_PLANNER_VALIDATE_PLAN_H_

#include "absl/status/status.h"
#include "tenure/planner/plan.h"
#include "tenure/planner/schedule.h"

namespace tenure {

absl::Status ValidatePlan(const Plan& plan, const Schedule& schedule);

}  // namespace tenure

#endif  // TENURE_PLANNER_VALIDATE_PLAN_H_

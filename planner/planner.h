// MakePlan: from a schedule to a plan that says where each storage lies.
//
// Example:
//   TENURE_ASSIGN_OR_RETURN(Plan plan, MakePlan(schedule));
//   TENURE_ASSIGN_OR_RETURN(PlacedPlan placed, PlacePlan(plan, schedule));  // place_plan.h
//   // For each step: zero its fills, then run it on its buffers' pointers.
//
// Cost: near-linear. It takes well under a millisecond for a model with a thousand storages, and
// half a second for 100,000. Dependencies add the table of StepOrder (step_order.h), and the search
// of the solver for up to PlanOptions::max_searched storages.
// Thread safety: thread-safe on schedules that no thread changes meanwhile. Ownership: the plan is
// a value; the schedule is borrowed for the call.
// Errors: InvalidArgument for options, for reads before any write, and for steps that touch the
// same bytes without an order. ResourceExhausted if it is proven that no plan fits into
// capacity_bytes; DeadlineExceeded if the effort found neither a plan that fits nor a proof. Both
// name what lives at the peak, and shortage.h tells more. A deadline alone is no error: the plan
// says that it was hit. Every plan is validated before it is returned, in release builds too.

#ifndef TENURE_PLANNER_PLANNER_H_
#define TENURE_PLANNER_PLANNER_H_

#include "absl/status/statusor.h"
#include "tenure/planner/place_plan.h"  // IWYU pragma: export
#include "tenure/planner/plan.h"
#include "tenure/planner/plan_options.h"  // IWYU pragma: export
#include "tenure/planner/schedule.h"

namespace tenure {

struct Shortage;  // shortage.h

// `shortage` is filled in if the capacity is the reason for a failure. It may be null.
absl::StatusOr<Plan> MakePlan(const Schedule& schedule, const PlanOptions& options = {},
                              Shortage* shortage = nullptr);

}  // namespace tenure

#endif  // TENURE_PLANNER_PLANNER_H_

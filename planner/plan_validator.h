// PlanValidator: the check behind ValidatePlan, MakePlan, PlacePlan and LoadPlan. Internal to the
// planner.
//
// Cost: n log n in the placements and touches. Thread safety: pure functions. Errors: those of
// validate_plan.h.

#ifndef TENURE_PLANNER_PLAN_VALIDATOR_H_
#define TENURE_PLANNER_PLAN_VALIDATOR_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/planner/liveness.h"
#include "tenure/planner/plan.h"
#include "tenure/planner/schedule.h"
#include "tenure/planner/step_order.h"

namespace tenure::internal {

// For MakePlan, which has the lives already. It trusts them, with their reasons. It skips the parts
// that MakePlan has just computed by the same functions: the fingerprint and the reuse edges.
absl::Status ValidateMadePlan(const Plan& plan, const Schedule& schedule, const StepOrder& order,
                              const Liveness& liveness);

// For plans from other sources. It computes the lives, checks everything, and returns the lives.
absl::StatusOr<Liveness> ValidateFromScratch(const Plan& plan, const Schedule& schedule);

}  // namespace tenure::internal

#endif  // TENURE_PLANNER_PLAN_VALIDATOR_H_

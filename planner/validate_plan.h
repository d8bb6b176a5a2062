// The check behind ValidatePlan, with what MakePlan has computed already. Internal to the planner.

#ifndef TENURE_PLANNER_VALIDATE_PLAN_H_
#define TENURE_PLANNER_VALIDATE_PLAN_H_

#include "absl/status/status.h"
#include "tenure/planner/liveness.h"
#include "tenure/planner/plan.h"
#include "tenure/planner/schedule.h"
#include "tenure/planner/step_order.h"

namespace tenure::internal {

// Fingerprint (plan.h), with the storages numbered already.
uint64_t Fingerprint(const Schedule& schedule, const Liveness& liveness);

// Takes the lives as they are, their reasons included, and checks all but what MakePlan would only
// compute a second time: the fingerprint and the reuse edges.
absl::Status ValidateAgainst(const Plan& plan, const Schedule& schedule, const StepOrder& order,
                             const Liveness& liveness);

// Checks everything: for plans that come from elsewhere.
absl::Status ValidateLoaded(const Plan& plan, const Schedule& schedule, const StepOrder& order,
                            const Liveness& liveness);

}  // namespace tenure::internal

#endif  // TENURE_PLANNER_VALIDATE_PLAN_H_

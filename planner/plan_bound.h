// BoundOfLives: how many bytes a plan needs at least, as far as the lives of its storages tell.
// Internal to the planner.
//
// The search of the planner may prove a higher bound. This one can be computed again, so a plan
// from a file can be held to it.
//
// Cost: n log n in the placements. Thread safety: pure function. Errors: none; the plan must have
// passed the validator.

#ifndef TENURE_PLANNER_PLAN_BOUND_H_
#define TENURE_PLANNER_PLAN_BOUND_H_

#include <cstdint>

#include "tenure/planner/liveness.h"
#include "tenure/planner/plan.h"

namespace tenure::internal {

// `liveness` is of the schedule for which the plan was validated.
uint64_t BoundOfLives(const Plan& plan, const Liveness& liveness);

}  // namespace tenure::internal

#endif  // TENURE_PLANNER_PLAN_BOUND_H_

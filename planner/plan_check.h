// PlanCheck: a plan's memory of the check that it has passed, so that PlacePlan does not repeat the
// check right after MakePlan or LoadPlan. Internal to the planner.
//
// Plans, schedules and storages can change after the check. So everything that it depends on is
// compared before the check is trusted:
//
//   the schedule                Schedule::state(): the same object, unchanged
//   the plan                    a hash of everything that the validator looks at
//   the state of the storages   each is looked at: allocated, sealed, held outside the schedule
//
// If anything differs, the plan must be checked again from scratch.
//
// Cost: linear in the placements and storages, without looking at steps. Thread safety: pure
// functions. Ownership: a check borrows the storages of the schedule. They are only used together
// with that schedule, which still holds them if its state is the same.

#ifndef TENURE_PLANNER_PLAN_CHECK_H_
#define TENURE_PLANNER_PLAN_CHECK_H_

#include <cstdint>
#include <vector>

#include "tenure/planner/liveness.h"
#include "tenure/planner/plan.h"
#include "tenure/planner/schedule.h"

namespace tenure::internal {

struct PlanCheck {
  struct CheckedStorage {
    Storage* storage = nullptr;
    uint32_t handles = 0;      // in the schedule
    bool any_handles = false;  // StorageLife::any_handles
    bool placed = false;
    bool allocated = false;  // at the time of the check
  };
  ScheduleState schedule;
  uint64_t plan_hash = 0;
  std::vector<CheckedStorage> storages;  // by number
};

// Call it right after `plan` has been validated for the schedule.
void RememberCheck(const Schedule& schedule, const Liveness& liveness, Plan& plan);

// Returns the check that the plan has passed, if it still holds for this plan and this schedule;
// else null.
const PlanCheck* FindCheck(const Plan& plan, const Schedule& schedule);

}  // namespace tenure::internal

#endif  // TENURE_PLANNER_PLAN_CHECK_H_

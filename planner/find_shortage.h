// FindShortage: describes why an arena does not fit into its capacity. Internal to the planner.
//
// Cost: n log n in the groups. Thread safety: pure functions.

#ifndef TENURE_PLANNER_FIND_SHORTAGE_H_
#define TENURE_PLANNER_FIND_SHORTAGE_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "tenure/planner/planning_context.h"
#include "tenure/planner/schedule.h"
#include "tenure/planner/shortage.h"

namespace tenure::internal {

// Describes the shortage of entry `arena` of the context, with its peak.
Shortage FindShortage(const PlanningContext& context, size_t arena, uint64_t capacity_bytes,
                      uint64_t lower_bound_bytes);

// Returns the shortage as an error in one line: ResourceExhausted if it is proven, else
// DeadlineExceeded.
absl::Status ShortageStatus(const Shortage& shortage, const Schedule& schedule);

}  // namespace tenure::internal

#endif  // TENURE_PLANNER_FIND_SHORTAGE_H_

// FindShortage: describes why an arena does not fit into its capacity. Internal to the planner.
//
// Cost: n log n in the groups. Thread safety: pure functions.

#ifndef TENURE_PLANNER_FIND_SHORTAGE_H_
#define TENURE_PLANNER_FIND_SHORTAGE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "tenure/planner/planning_context.h"
#include "tenure/planner/schedule.h"
#include "tenure/planner/shortage.h"

namespace tenure::internal {

// What CapacityLeft says of an entry.
struct CapacityFound {
  uint64_t left_bytes = 0;     // CapacityLeft::Of
  uint64_t at_most_bytes = 0;  // CapacityLeft::AtMost
};

// Describes the shortage of entry `arena` of the context, with its peak.
Shortage FindShortage(const PlanningContext& context, size_t arena, const CapacityFound& capacity,
                      uint64_t lower_bound_bytes, std::string search_limit);

// Returns the shortage as an error in one line: ResourceExhausted if it is proven, else
// DeadlineExceeded.
absl::Status ShortageStatus(const Shortage& shortage, const Schedule& schedule);

}  // namespace tenure::internal

#endif  // TENURE_PLANNER_FIND_SHORTAGE_H_

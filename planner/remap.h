// Remap: packing for PlanMode::kRemap. An arena is a slot of one size, which one group
// after the other uses. It has the largest alignment of those groups. Internal to the planner.
//
//   slot 0   | h0 |  h2  |    h5    |       of the free slots, the one freed last is used
//   slot 1     |   h1   |  h3  |
//
// Cost: O(n log n). With dependencies, at most 256 free slots are tried for each group. Thread
// safety: pure function.

#ifndef TENURE_PLANNER_REMAP_H_
#define TENURE_PLANNER_REMAP_H_

#include <cstdint>
#include <vector>

#include "tenure/planner/groups.h"

namespace tenure {

struct Remapping {
  std::vector<uint32_t> slot_of;   // of each member
  uint64_t height_bytes = 0;       // of all slots
  uint64_t lower_bound_bytes = 0;  // of slots of these sizes
};

// `members` are groups of one allocator and one queue.
Remapping Remap(const StepOrder& order, const std::vector<StorageGroup>& groups,
                const std::vector<uint32_t>& members);

}  // namespace tenure

#endif  // TENURE_PLANNER_REMAP_H_

// PlanMode::kRemap: whole slabs, each given to one group after the other of its rounded size and
// alignment. Internal to the planner.
//
//   slab 0   | h0 |  h2  |    h5    |       of the slabs that are free, the one freed last is taken
//   slab 1     |   h1   |  h3  |
//
// Cost: O(n log n); with dependencies at most 256 free slabs are asked for each group. Thread
// safety: pure function.

#ifndef TENURE_PLANNER_REMAP_H_
#define TENURE_PLANNER_REMAP_H_

#include <cstdint>
#include <vector>

#include "tenure/planner/groups.h"

namespace tenure {

struct Remapping {
  std::vector<uint32_t> slab_of;   // of each member
  uint64_t height_bytes = 0;       // of all slabs
  uint64_t lower_bound_bytes = 0;  // of slabs of these sizes
};

// `members`: groups of one allocator and lane.
Remapping Remap(const StepOrder& order, const std::vector<StorageGroup>& groups,
                const std::vector<uint32_t>& members);

}  // namespace tenure

#endif  // TENURE_PLANNER_REMAP_H_

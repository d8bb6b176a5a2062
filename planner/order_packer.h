// PackInOrder: packs more groups under a partial order, or into more arenas, than the general
// search of the packing solver can handle. Internal to the planner.
//
// Groups are placed in the order of their first steps. The tenant of a range of bytes is the latest
// group in it. A new group may have the range if every step of the tenant surely precedes every
// step of the new group. This relation is transitive, so earlier tenants need not be remembered:
//
//   address
//     +-----------------------+
//     |  h2: still in use     |
//     +-----------------------+
//     |  h1: over before h4   |  \  h4 may lie here. Of the ranges whose tenants are over,
//     |                       |   > the latest are tried, each with the ranges above it;
//     |  h0: over before h4   |  /  the lowest fit is used
//     +-----------------------+
//
// Tried are the latest ranges whose tenants ended on the chain of steps of the new group, and the
// latest ranges of all tenants. So a branch finds its own bytes again even if another branch, which
// runs beside it, has freed many ranges since.
//
// Cost: O(n log n), with at most a few hundred questions to the order for each group; linear
// memory. Deterministic. Thread safety: pure function.

#ifndef TENURE_PLANNER_ORDER_PACKER_H_
#define TENURE_PLANNER_ORDER_PACKER_H_

#include <cstdint>
#include <vector>

#include "tenure/planner/groups.h"

namespace tenure {

struct OrderPacking {
  std::vector<uint64_t> offsets;  // of each member
  std::vector<uint32_t> arenas;   // of each member
  uint64_t height = 0;            // the sum over the arenas
};

// No group is larger than `arena_limit_bytes`, and no arena gets larger. The sum of all sizes and
// all alignments must be below 2^63.
OrderPacking PackInOrder(const StepOrder& order, const std::vector<StorageGroup>& groups,
                         const std::vector<uint32_t>& members, uint64_t arena_limit_bytes);

}  // namespace tenure

#endif  // TENURE_PLANNER_ORDER_PACKER_H_

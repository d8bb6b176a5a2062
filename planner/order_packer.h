// The planner's own packer, for what is too much for the packing solver's general search: very many
// groups under a partial order, or in very many arenas. Internal to the planner.
//
// Groups are placed in the order of their first steps. A range of bytes may be given on if all that
// its tenant does surely precedes all that the new one does; since that is transitive, only the
// latest tenant counts:
//
//   address
//     +-----------------------+
//     |  h2: still in use     |
//     +-----------------------+
//     |  h1: over before h4   |  \  h4 may lie here: of the ranges whose tenants are over,
//     |                       |   > the latest are tried, each extended upwards;
//     |  h0: over before h4   |  /  the lowest fit is taken
//     +-----------------------+
//
// The ranges tried are those whose users were on the chain of steps of the new group, and the
// latest of all: branches that run side by side do not hide each other's bytes.
//
// Cost: O(n log n) and at most some hundred questions to the order for each group; linear memory.
// Deterministic. Thread safety: pure function.

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

// No arena gets larger than `arena_limit_bytes`, which no group exceeds; the sum of all sizes, each
// with its alignment added, is below 2^63.
OrderPacking PackInOrder(const StepOrder& order, const std::vector<StorageGroup>& groups,
                         const std::vector<uint32_t>& members, uint64_t arena_limit_bytes);

}  // namespace tenure

#endif  // TENURE_PLANNER_ORDER_PACKER_H_

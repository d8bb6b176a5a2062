// PackOwnMemory: which intermediates lie in the own memory of reused outputs and donated inputs.
// Internal to the planner.
//
//   address   memory of output y           memory of donated input x
//        ^    +------+------+              +--------+------+
//        |    | a |b |  y   |              |   x    |  c   |
//        +----+------+------+---> step     +--------+------+---> step
//
// These bytes are there anyway, so what lies in them makes the plan's arena smaller. The arena is as
// large as the bytes that live in it at its peak. So groups that live at the peak are moved into own
// memories, the largest first, until none of those at the peak fits anywhere. Outputs are not moved
// into the memory of donated inputs, since the inputs of the next run would erase them.
//
// Cost: linear in steps and groups for each group that is moved; few are moved if that is a lot.
// Thread safety: pure functions. Errors: none.

#ifndef TENURE_PLANNER_OWN_MEMORY_H_
#define TENURE_PLANNER_OWN_MEMORY_H_

#include <cstdint>
#include <vector>

#include "tenure/planner/groups.h"
#include "tenure/planner/liveness.h"
#include "tenure/planner/step_order.h"

namespace tenure::internal {

struct OwnMemory {
  std::vector<uint32_t> members;  // groups; the first is the one whose memory it is
  std::vector<uint64_t> offsets;  // of each member
};

struct OwnMemoryPacking {
  std::vector<OwnMemory> memories;
  std::vector<uint32_t> rest;  // the members that lie in none of them
  uint64_t bytes = 0;          // of all memories, rounded up as in plans
};

// `members` are groups of one allocator and one queue.
OwnMemoryPacking PackOwnMemory(const StepOrder& order, const Liveness& liveness,
                               const std::vector<StorageGroup>& groups,
                               const std::vector<uint32_t>& members);

// Whether the allocator of the storage, which must be allocated, promises this alignment of offset
// `offset_bytes`. What is planned rests on promises, so that the plan fits other instances too.
bool PromisesAlignment(const Storage& storage, uint64_t offset_bytes, uint64_t alignment_bytes);
// Whether it is aligned: by promise, or by its address as it happens to be.
bool IsAligned(const Storage& storage, uint64_t offset_bytes, uint64_t alignment_bytes);

}  // namespace tenure::internal

#endif  // TENURE_PLANNER_OWN_MEMORY_H_

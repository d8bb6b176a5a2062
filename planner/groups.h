// Groups: the items that the planner packs. A group is one storage, or a chain of storages that are
// written in place of each other. Internal to the planner.
//
//   h0 --step 3 writes h1 in place--> h1 --step 5 writes h2 in place--> h2
//
// is one item that lives from the first step of h0 to the last step of h2.
//
// Thread safety: pure functions. Ownership: borrows the liveness result.

#ifndef TENURE_PLANNER_GROUPS_H_
#define TENURE_PLANNER_GROUPS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "tenure/planner/liveness.h"
#include "tenure/planner/plan.h"
#include "tenure/planner/schedule.h"
#include "tenure/planner/step_order.h"

namespace tenure {

struct StorageGroup {
  std::vector<uint32_t> storages;  // in the order of the chain
  Allocator* allocator = nullptr;
  uint32_t queue = 0;  // of the first step
  uint32_t first_step = 0;
  uint32_t last_step = 0;   // inclusive
  uint64_t size_bytes = 0;  // rounded up to the alignment of the plan
  uint64_t alignment_bytes = 1;
  StepEnds ends;
  bool to_end = false;  // an output, which is read after the last step
  // The storage in whose own memory the group lies: the only one with StorageLife::own_memory. The
  // group is an arena of its own then.
  std::optional<uint32_t> memory_of;
};

struct Grouping {
  std::vector<StorageGroup> groups;  // by first storage
  std::vector<InPlaceWrite> in_place;
};

// Every storage with reason kPlanned is in exactly one group. The in-place permissions of the
// schedule are used if `use_in_place` is true.
Grouping GroupStorages(const Schedule& schedule, const StepOrder& order, const Liveness& liveness,
                       uint64_t alignment_bytes, bool use_in_place);

// Returns the ends of the set of all steps during which one of these storages needs its bytes.
StepEnds EndsOf(const StepOrder& order, const Liveness& liveness,
                absl::Span<const uint32_t> storages);

// Checks that the schedule permits this in-place write. The error says what forbids it. The planner
// and the validator share this rule.
absl::Status CheckInPlace(const Schedule& schedule, const StepOrder& order,
                          const Liveness& liveness, const InPlaceWrite& write);

}  // namespace tenure

#endif  // TENURE_PLANNER_GROUPS_H_

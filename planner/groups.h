// Groups: the items that the planner packs. A group is one storage, or a chain of storages that
// take over each other's bytes in place. Internal to the planner.
//
//   h0 --step 3 writes h1 in place--> h1 --step 5 writes h2 in place--> h2
//
// is one item, alive from h0's first step to h2's last.
//
// Thread safety: pure functions. Ownership: borrows the liveness result.

#ifndef TENURE_PLANNER_GROUPS_H_
#define TENURE_PLANNER_GROUPS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "tenure/planner/liveness.h"
#include "tenure/planner/plan.h"
#include "tenure/planner/schedule.h"
#include "tenure/planner/step_order.h"

namespace tenure {

struct StorageGroup {
  std::vector<uint32_t> storages;  // in the order in which they take over
  Allocator* allocator = nullptr;
  uint32_t lane = 0;
  uint32_t first_step = 0;
  uint32_t last_step = 0;   // inclusive
  uint64_t size_bytes = 0;  // rounded up to the alignment of the plan
  uint64_t alignment_bytes = 1;
  StepEnds ends;
};

struct Grouping {
  std::vector<StorageGroup> groups;  // by first storage
  std::vector<TakenOver> taken_over;
};

// Every storage with reason kPlanned is in exactly one group. `in_place`: use the schedule's
// permissions.
Grouping GroupStorages(const Schedule& schedule, const StepOrder& order, const Liveness& liveness,
                       uint64_t alignment_bytes, bool in_place);

// The steps that stand for all that touch one of these storages.
StepEnds EndsOf(const StepOrder& order, const Liveness& liveness,
                absl::Span<const uint32_t> storages);

// The permission that allows `input` to be taken over by `output` at `step`, or what speaks against
// it. The one place where the rule stands.
absl::Status CheckTakeOver(const Schedule& schedule, const StepOrder& order,
                           const Liveness& liveness, const TakenOver& taken);

}  // namespace tenure

#endif  // TENURE_PLANNER_GROUPS_H_

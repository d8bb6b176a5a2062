// Shortage: why a plan does not fit into its capacity: what lives at the peak, and a set of
// storages that is too much on its own.
//
// Why: "out of memory" alone leaves its reader with a thousand tensors. What helps is the step at
// which most bytes are needed, and a handful of tensors of which one must shrink, go earlier, or be
// computed again.
//
//   Shortage shortage;
//   absl::StatusOr<Plan> plan = MakePlan(schedule, {.capacity_bytes = budget}, &shortage);
//   if (!plan.ok() && shortage.happened()) {
//     FindConflict({.deadline = absl::Now() + absl::Seconds(2)}, shortage).IgnoreError();
//     std::cerr << ShortageText(shortage, schedule);
//   }
//
// Cost: the peak, n log n; the conflict, what packing/explain.h says, bounded by the deadline.
// Thread safety: free functions on values. Ownership: by value. Errors: FailedPrecondition where
// there is no shortage, or it is not proven.

#ifndef TENURE_PLANNER_SHORTAGE_H_
#define TENURE_PLANNER_SHORTAGE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tenure/allocator/memory_space.h"
#include "tenure/planner/packing/explain.h"
#include "tenure/planner/packing/problem.h"
#include "tenure/planner/packing/solver.h"
#include "tenure/planner/schedule.h"

namespace tenure {

class Groundwork;

struct Shortage {
  MemorySpace space = {};
  uint32_t lane = 0;
  uint64_t capacity_bytes = 0;     // what the arenas of this lane may take
  uint64_t lower_bound_bytes = 0;  // what they need at least
  bool proven = false;             // lower_bound_bytes > capacity_bytes; else none was found

  // An item is a storage, or several that take over each other's bytes in place; moments are steps.
  packing::Problem problem = {};
  struct Item {
    std::string name;                // of the storages, the first one's first
    std::vector<uint32_t> storages;  // their numbers
  };
  std::vector<Item> items = {};  // of the problem's
  // The peak; and the conflict, once FindConflict has been called.
  packing::Explanation why = {};

  bool happened() const { return !items.empty(); }
};

// Looks for storages that cannot be packed together, the fewer the better. `options`: the deadline
// bounds it all, max_nodes each question; effort and capacity are not looked at.
absl::Status FindConflict(const packing::SolveOptions& options, Shortage& shortage);

// "17 (matmul)" or "17 to 19 (matmul to add)": the steps of [first, last).
std::string StepsText(const Schedule& schedule, packing::Time first, packing::Time last);

// Several lines, with the names of storages and steps.
std::string ShortageText(const Shortage& shortage, const Schedule& schedule);

namespace internal {
// Of entry `arena` of the groundwork: its peak.
Shortage FindShortage(const Groundwork& work, size_t arena, uint64_t capacity_bytes,
                      uint64_t lower_bound_bytes);
// In one line: ResourceExhausted if proven, else DeadlineExceeded.
absl::Status ShortageStatus(const Shortage& shortage, const Schedule& schedule);
}  // namespace internal

}  // namespace tenure

#endif  // TENURE_PLANNER_SHORTAGE_H_

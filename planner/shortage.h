// Shortage: why a plan does not fit into its capacity. It names the storages that live at the peak,
// and a set of storages that is too large on its own.
//
// "Out of memory" alone leaves the reader with a thousand tensors. It helps to know the step at
// which most bytes are needed, and a handful of tensors of which one must shrink, be dropped
// earlier, or be computed again.
//
//   Shortage shortage;
//   absl::StatusOr<Plan> plan = MakePlan(schedule, {.capacity_bytes = budget}, &shortage);
//   if (!plan.ok() && shortage.happened()) {
//     FindConflict({.deadline = absl::Now() + absl::Seconds(2)}, shortage).IgnoreError();
//     std::cerr << ShortageText(shortage, schedule);
//   }
//
// Cost: n log n for the peak. packing/explain.h states the cost of the conflict, which the deadline
// limits. Thread safety: free functions on values. Ownership: by value. Errors: FailedPrecondition
// if there is no shortage or it is not proven.

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

struct Shortage {
  MemorySpace space = {};
  uint32_t queue = 0;              // Step::queue of the storages
  uint64_t capacity_bytes = 0;     // the limit for the arenas of this queue
  uint64_t lower_bound_bytes = 0;  // the least that they need
  // The others of the space, at their least, leave fewer bytes than lower_bound_bytes:
  // capacity_bytes. If this is false, a plan that fits was only not found.
  bool proven = false;
  // If not proven: the limit of the solver that ended its work (packing::Packing::search_limit).
  std::string search_limit = {};

  // An item is a storage, or a chain of storages that are written in place. Moments are steps.
  packing::Problem problem = {};
  struct Item {
    std::string name;                // the names of its storages
    std::vector<uint32_t> storages;  // their numbers
  };
  std::vector<Item> items = {};  // of the problem's
  // The peak. After FindConflict also the conflict.
  packing::Explanation why = {};

  bool happened() const { return !items.empty(); }
};

// Looks for a small set of storages that cannot be packed together. Of the options, the deadline
// limits the whole search and max_nodes limits each question that the search asks; effort and
// capacity are ignored.
absl::Status FindConflict(const packing::SolveOptions& options, Shortage& shortage);

// "17 (matmul)" or "17 to 19 (matmul to add)": the steps of [first, last).
std::string StepsText(const Schedule& schedule, packing::Time first, packing::Time last);

// Several lines, with the names of storages and steps.
std::string ShortageText(const Shortage& shortage, const Schedule& schedule);

}  // namespace tenure

#endif  // TENURE_PLANNER_SHORTAGE_H_

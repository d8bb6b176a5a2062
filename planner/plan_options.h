// PlanOptions: what MakePlan may do, and how hard it tries.
//
// Thread safety: thread-compatible value. Ownership: `cancel` and `keep` are borrowed for the call.

#ifndef TENURE_PLANNER_PLAN_OPTIONS_H_
#define TENURE_PLANNER_PLAN_OPTIONS_H_

#include <atomic>
#include <cstdint>

#include "absl/time/time.h"
#include "tenure/planner/packing/problem.h"
#include "tenure/planner/packing/solver.h"
#include "tenure/planner/plan.h"

namespace tenure {

struct PlanOptions {
  PlanMode mode = PlanMode::kArena;
  // The alignment of every placement, to which sizes are rounded up. A power of two. A storage that
  // asks for a larger alignment gets it.
  uint64_t alignment_bytes = 64;
  // How hard to pack. kFast reaches the lower bound on most schedules.
  packing::Effort effort = packing::Effort::kFast;
  absl::Time deadline = absl::InfiniteFuture();
  const std::atomic<bool>* cancel = nullptr;  // may be null
  int max_threads = 1;
  // With effort kOptimal: the search ends after this many nodes, with the best result so far. The
  // result is deterministic, which it is not when a deadline ends the search.
  uint64_t max_nodes = packing::kUnlimited;
  // The arenas of one memory space, of all queues and allocators together, may not need more than
  // this. Reused outputs and donated inputs are arenas too (PlanArena::memory_of). Give the memory that is left in the space. Without it the arenas get as small as the effort allows.
  uint64_t capacity_bytes = packing::kUnlimited;
  // For planning again after sizes have changed, as with another batch size or sequence length.
  // Storages keep the places that this plan gives them wherever that is possible, even if the
  // arenas get larger. Storages are recognised by their number, so the steps must be the same.
  // Only for kArena, and only up to `max_searched` storages. May be null.
  const Plan* keep = nullptr;
  // For schedules with dependencies, and for those that need several arenas for one space and
  // queue: the solver searches up to this many storages. More are placed in the order of their
  // first steps.
  uint32_t max_searched = 2000;
  // Also plan storages that must read as zeros at first. Plan::fills says when to zero them.
  bool fill_zeroed = false;
  // Use the in-place permissions of the schedule.
  bool in_place = true;
  // Fail with FailedPrecondition if a storage is left with memory of its own that the plan was meant
  // to place: handles to it exist outside the schedule, it must read as zeros and may not be filled,
  // or it is too large. The error names the first of them (Plan::Uncovered). Without this option
  // such a plan is no error: a schedule whose builder keeps all its handles gets a plan of nothing.
  bool require_coverage = false;
  // Also plan storages with handles outside the schedule. Such a plan can be looked at, but not
  // placed. For a plan that is to be placed, see Schedule::MarkIntermediate.
  bool ignore_outside_handles = false;
};

}  // namespace tenure

#endif  // TENURE_PLANNER_PLAN_OPTIONS_H_

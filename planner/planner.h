// MakePlan and PlacePlan: from a schedule to storages that lie in arenas.
//
// Example:
//   ASSIGN_OR_RETURN(Plan plan, MakePlan(schedule));
//   ASSIGN_OR_RETURN(PlacedPlan placed, PlacePlan(plan, schedule));
//   for each step: for each fill of the step: zero it; run the step on its buffers' pointers
//
// Every handle and view stays what it was: placing changes where the storage's bytes are, nothing
// in the schedule is rewritten.
//
// Cost: near-linear; 2 ms for a schedule of a thousand storages. Thread safety: thread-safe on
// schedules that nobody changes meanwhile. Ownership: the arenas live as long as the PlacedPlan or
// anything placed in them. Errors: what schedule.h and liveness.h say; ResourceExhausted when an
// arena can't be allocated (nothing is placed then); FailedPrecondition when the
//   plan is of another schedule. Every plan is validated before it is returned and before it is
//   placed, release builds included.

#ifndef TENURE_PLANNER_PLANNER_H_
#define TENURE_PLANNER_PLANNER_H_

#include <atomic>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tenure/planner/packing/solver.h"
#include "tenure/planner/plan.h"
#include "tenure/planner/schedule.h"
#include "tenure/runtime/buffer.h"

namespace tenure {

struct PlanOptions {
  PlanMode mode = PlanMode::kArena;
  // Of every placement and of the rounding of sizes; a power of two. Storages that ask for more get
  // more.
  uint64_t alignment_bytes = 64;
  // How hard to pack; `fast` meets the bound on most schedules.
  packing::Effort effort = packing::Effort::kFast;
  absl::Time deadline = absl::InfiniteFuture();
  const std::atomic<bool>* cancel = nullptr;  // borrowed; may be null
  int max_threads = 1;
  // Plan storages that are promised as zeros too, and say in Plan::fills when to zero them.
  bool fill_zeroed = false;
  // Use the in-place permissions.
  bool in_place = true;
  // Plan what is held outside too. Such a plan can be looked at, not placed.
  bool ignore_outside_handles = false;
};

absl::StatusOr<Plan> MakePlan(const Schedule& schedule, const PlanOptions& options = {});

// The executor zeroes `storage` (the whole of it) right before the step.
struct PlacedFill {
  uint32_t step = 0;
  Buffer storage;
};

// The arenas of a plan and what lies in them. Dropping it drops nothing that is in use: placed
// storages keep their arena.
struct PlacedPlan {
  std::vector<PlacedFill> fills;           // by step
  std::vector<Buffer> arenas;              // one for each of Plan::arenas
  std::vector<StorageKeepAlive> storages;  // what was placed, in the order of Plan::placements
};

// Allocates the arenas from the allocators of the storages, and places. All or nothing.
absl::StatusOr<PlacedPlan> PlacePlan(const Plan& plan, const Schedule& schedule);

namespace internal {
// PlacePlan without the validator: for tests that must see a wrong plan go wrong.
absl::StatusOr<PlacedPlan> PlaceUnchecked(const Plan& plan, const Schedule& schedule);
}  // namespace internal

// Takes everything out of the arenas again; contents are lost. Nobody may be using the storages.
// The plan can be placed again.
absl::Status UnplacePlan(PlacedPlan placed);

}  // namespace tenure

#endif  // TENURE_PLANNER_PLANNER_H_

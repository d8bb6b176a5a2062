// MakePlan: from a schedule to a plan that says where each storage lies.
//
// Example:
//   TENURE_ASSIGN_OR_RETURN(Plan plan, MakePlan(schedule));
//   TENURE_ASSIGN_OR_RETURN(PlacedPlan placed, PlacePlan(plan, schedule));  // placement.h
//   // For each step: zero its fills, then run it on its buffers' pointers.
//
// Cost: near-linear; well under a millisecond for a model's thousand storages, half a second for
// 100,000. With dependencies StepOrder's table (step_order.h), and the solver's search up to
// PlanOptions::max_searched storages.
// Thread safety: thread-safe on schedules that nobody changes meanwhile. Ownership: the plan is a
// value; the schedule is borrowed for the call.
// Errors: what schedule.h and liveness.h say; InvalidArgument for options. ResourceExhausted if the
// plan is proven not to fit into capacity_bytes, and DeadlineExceeded if it was neither fitted nor
// refuted within the effort; both name what lives at the peak, and shortage.h tells more. A
// deadline alone gives a plan that says so, not an error. Every plan is validated before it is
// returned, release builds included.

#ifndef TENURE_PLANNER_PLANNER_H_
#define TENURE_PLANNER_PLANNER_H_

#include <atomic>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tenure/planner/packing/problem.h"
#include "tenure/planner/packing/solver.h"
#include "tenure/planner/placement.h"  // IWYU pragma: export
#include "tenure/planner/plan.h"
#include "tenure/planner/schedule.h"

namespace tenure {

struct Shortage;  // shortage.h

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
  // With effort optimal: ends with the best so far after so many nodes of search. Counted, so
  // deterministic, unlike a deadline.
  uint64_t max_nodes = packing::kUnlimited;
  // The arenas of one memory space, its lanes together, may not take more: the memory that is left
  // there. Without it: as little as the effort gets.
  uint64_t capacity_bytes = packing::kUnlimited;
  // Planning again: storages stay where this plan has them, wherever that is possible, even if the
  // arenas get larger by it. Storages are the same by their number, which is right for a schedule
  // of which only sizes changed (another batch, another sequence length). Arenas only, and not
  // beyond max_searched. Borrowed; may be null.
  const Plan* keep = nullptr;
  // Schedules with dependencies, and those that need several arenas of one space and lane: up to so
  // many storages the solver searches; for more, storages are placed in the order of their steps.
  uint32_t max_searched = 2000;
  // Plan storages that are promised as zeros too, and say in Plan::fills when to zero them.
  bool fill_zeroed = false;
  // Use the in-place permissions.
  bool in_place = true;
  // Plan what is held outside too. Such a plan can be looked at, not placed.
  bool ignore_outside_handles = false;
};

// `shortage`: filled in when the capacity is what made it fail; may be null.
absl::StatusOr<Plan> MakePlan(const Schedule& schedule, const PlanOptions& options = {},
                              Shortage* shortage = nullptr);

}  // namespace tenure

#endif  // TENURE_PLANNER_PLANNER_H_

// PlacePlan: allocates the arenas of a plan and places its storages in them.
//
// Example:
//   TENURE_ASSIGN_OR_RETURN(PlacedPlan placed, PlacePlan(plan, schedule));
//   // For each step: zero the fills of the step, then run it on its buffers' pointers.
//
// Every handle and view stays valid, also those outside the schedule: placing only says where the
// bytes of a storage are, and nothing in the schedule is rewritten.
//
// Cost: an allocation for each arena that PlaceOptions::arena does not hold, two locks of each
// storage, and a look at each placement. The plan is also checked from scratch (validate_plan.h), unless it comes from MakePlan or LoadPlan
// and neither it nor the schedule has been changed since. Thread safety: thread-safe. If another
// thread has given a storage bytes of its own meanwhile, all of PlacePlan fails. Other threads see
// no placement of a PlacePlan that fails: a storage that they need meanwhile is placed when all
// are, or gets bytes of its own. Ownership: an arena lives as long as the PlacedPlan or anything
// placed in it. Errors: FailedPrecondition when the plan is of another schedule or its storages
// have changed since (allocated, sealed, held), or when memory to place into has bytes of a storage
// that the schedule uses and the plan places nowhere; Internal when it is wrong; ResourceExhausted
// when an arena can't be allocated; Unimplemented when it can't be shared. Nothing is placed then.

#ifndef TENURE_PLANNER_PLACE_PLAN_H_
#define TENURE_PLANNER_PLACE_PLAN_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/planner/plan.h"
#include "tenure/planner/schedule.h"
#include "tenure/runtime/buffer.h"

namespace tenure {

// The executor must zero the whole of `storage` right before the step.
struct PlacedFill {
  uint32_t step = 0;
  Buffer storage;
};

// The arenas of a plan and the storages in them. Dropping it frees nothing that is in use, since
// placed storages keep their arena alive.
struct PlacedPlan {
  std::vector<PlacedFill> fills;  // by step
  std::vector<Buffer> arenas;     // in the order of Plan::arenas
  // What was placed, in the order of Plan::placements. An input or output that had bytes already
  // stays where it is, and is the arena of what lies in its memory.
  std::vector<StorageKeepAlive> storages;
  std::vector<ReuseEdge> reuse_edges;  // Plan::reuse_edges, for executors of several queues
  // Arenas that were there before can't be sealed while one of these lives. Sealing promises that
  // the bytes stay as they are.
  std::vector<std::shared_ptr<const WritableHold>> holds;
};

struct PlaceOptions {
  // Returns how other processes can open the arenas, and so the storages in them, at the offsets of
  // Plan::placements. The space must support sharing (ShareCapability).
  Sharing sharing = Sharing::kNone;
  // Memory to place into, instead of arenas that are allocated for this call. All arenas of its
  // space lie in it one after the other, except those that are a storage's own memory
  // (PlanArena::memory_of). It must be as large and as aligned as ArenaOf says, and may hold several
  // plans at a time: steps that use the same bytes are ordered by the recorded uses, so schedules
  // that run one after the other (prefill and decode) can share it. While a plan is placed in it,
  // it can't be sealed. Null: arenas are allocated.
  Buffer arena = {};
};

// The size and alignment of a buffer that holds all arenas of this space.
struct ArenaNeed {
  uint64_t size_bytes = 0;
  uint64_t alignment_bytes = 1;
};
ArenaNeed ArenaOf(const Plan& plan, const MemorySpace& space);

// Allocates the arenas with the allocators of the storages, and places all storages or none. The
// schedule may be another than the one that the plan was made for, if it has the same fingerprint
// (Schedule::Instance).
absl::StatusOr<PlacedPlan> PlacePlan(const Plan& plan, const Schedule& schedule,
                                     const PlaceOptions& options = {});

// Makes all storages of the plan unallocated again; their contents are lost. No thread and no
// device may be using them. The plan can be placed again. A storage that is sealed or mapped for
// writing stays in its arena and makes this return an error; all others are unplaced.
absl::Status UnplacePlan(PlacedPlan placed);

namespace internal {
// PlacePlan without any check of the plan, for tests in which a wrong plan must do damage.
absl::StatusOr<PlacedPlan> PlaceUnchecked(const Plan& plan, const Schedule& schedule);
}  // namespace internal

}  // namespace tenure

#endif  // TENURE_PLANNER_PLACE_PLAN_H_

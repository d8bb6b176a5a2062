// PlacePlan: the arenas of a plan, and its storages in them.
//
// Example:
//   TENURE_ASSIGN_OR_RETURN(PlacedPlan placed, PlacePlan(plan, schedule));
//   // For each step: zero the fills of the step, then run it on its buffers' pointers.
//
// Every handle and view stays what it was, whoever has it: placing says where a storage's bytes
// are, and nothing in the schedule is rewritten.
//
// Cost: the validator's, an allocation for each arena, and a compare and swap for each storage.
// Thread safety: thread-safe; storages that others allocate meanwhile make it fail as a whole.
// Ownership: an arena lives as long as the PlacedPlan or anything placed in it.
// Errors: FailedPrecondition when the plan is of another schedule or its storages have changed
// since (allocated, sealed, held); Internal when it is wrong; ResourceExhausted when an arena can't
// be allocated; Unimplemented when it can't be shared. Nothing is placed then.

#ifndef TENURE_PLANNER_PLACEMENT_H_
#define TENURE_PLANNER_PLACEMENT_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/planner/plan.h"
#include "tenure/planner/schedule.h"
#include "tenure/runtime/buffer.h"

namespace tenure {

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

struct PlaceOptions {
  // How other processes can come by the arenas, and by what is placed in them, at the offsets of
  // Plan::placements. The space must be able to share (ShareCapability).
  Sharing sharing = Sharing::kNone;
};

// Allocates the arenas from the allocators of the storages, and places. All or nothing.
absl::StatusOr<PlacedPlan> PlacePlan(const Plan& plan, const Schedule& schedule,
                                     const PlaceOptions& options = {});

// Takes everything out of the arenas again; contents are lost. Nobody may be using the storages.
// The plan can be placed again. A storage that was sealed or is mapped for writing stays where it
// is, and is the error returned; the others are taken out all the same.
absl::Status UnplacePlan(PlacedPlan placed);

namespace internal {
// PlacePlan without the validator: for tests that must see a wrong plan go wrong.
absl::StatusOr<PlacedPlan> PlaceUnchecked(const Plan& plan, const Schedule& schedule);
}  // namespace internal

}  // namespace tenure

#endif  // TENURE_PLANNER_PLACEMENT_H_

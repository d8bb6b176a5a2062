// Liveness: what a schedule does to each storage, and which storages a plan may place. Internal to
// the planner.
//
// Lives are those of storages, not of buffers: views overlap, so only a whole storage can be
// placed. A storage lives from the first step that touches any of its buffers to the last; the
// bytes of planned inputs and outputs are also needed before and after the schedule.
//
// Cost: linear in the reads and writes, with a hash lookup for each; with dependencies also a map
// of byte ranges for each storage. Thread safety: a pure function of a schedule that no thread
// changes meanwhile. Ownership: borrows the storages of the schedule, which must outlive the
// result. Errors: InvalidArgument, naming steps and buffer, if an intermediate is read before any
// step has written to it, or (with dependencies) if two steps touch the same bytes, one of them
// writing, and neither is ordered after the other.

#ifndef TENURE_PLANNER_LIVENESS_H_
#define TENURE_PLANNER_LIVENESS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tenure/planner/plan_reason.h"
#include "tenure/planner/schedule.h"
#include "tenure/planner/step_order.h"

namespace tenure {

// One access of one step to a window of a storage.
struct Touch {
  uint32_t step = 0;
  Access access = Access::kRead;
  uint64_t begin = 0;  // bytes of the storage
  uint64_t end = 0;
};

struct StorageLife {
  Storage* storage = nullptr;
  PlanReason reason = PlanReason::kPlanned;
  std::string detail;  // of the reason: the argument of Hold, the number of handles, ...
  // The first and the last step during which it needs its bytes, both inclusive. They are those that
  // touch it, but a planned input lives from step 0 on, and a planned output to the last step.
  uint32_t first_step = 0;
  uint32_t last_step = 0;
  uint32_t queue = 0;        // of the first step
  bool needs_fill = false;   // planned, zeroed, and not wholly written by its first step
  uint32_t handles = 0;      // in the schedule
  bool from_start = false;   // planned, and has contents before the first step
  bool to_end = false;       // planned, and is read after the last step
  bool own_memory = false;   // planned, in its own memory (PlanArena::memory_of)
  bool any_handles = false;  // handles outside the schedule do not keep it from being planned
  // In step order; reads of a step before its writes. Borrowed from Liveness::touches.
  absl::Span<const Touch> touches;
};

struct LivenessOptions {
  // Storages that must read as zeros at first may be planned. The plan says when to fill them.
  bool fill_zeroed = false;
  // Storages with handles outside the schedule may be planned. For plans that are never placed.
  bool ignore_outside_handles = false;
};

// It can be moved but not copied, since its storages point into its touches.
struct Liveness {
  Liveness() = default;
  Liveness(Liveness&&) = default;
  Liveness& operator=(Liveness&&) = default;

  // In the order of first touch. The index is the number of the storage in plans.
  std::vector<StorageLife> storages;
  std::vector<Touch> touches;  // of all storages
  // The number of the storage of each buffer of the schedule, step by step, reads before writes.
  std::vector<uint32_t> owners;
  absl::flat_hash_map<StorageId, uint32_t> index_of;
};

absl::StatusOr<Liveness> AnalyzeLiveness(const Schedule& schedule, const StepOrder& order,
                                         const LivenessOptions& options);

}  // namespace tenure

#endif  // TENURE_PLANNER_LIVENESS_H_

// Liveness: what a schedule does to each storage, and which storages a plan may place.
//
// Why by storage: views overlap, so only whole storages can move. Each StorageId is one alias class
// with one lifetime: from the first step that touches any of its buffers to the last.
//
// Cost: linear in the reads and writes, a hash lookup each; with dependencies a map of byte ranges
// for each storage. Thread safety: a pure function of a schedule that nobody changes meanwhile.
// Ownership: borrows the schedule's storages (the schedule must outlive the result).
// Errors: InvalidArgument, naming steps and buffer: an intermediate is read before any step has
// written to it, or (with dependencies) two steps that touch the same bytes, one of them writing,
// are not ordered.

#ifndef TENURE_PLANNER_LIVENESS_H_
#define TENURE_PLANNER_LIVENESS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tenure/planner/schedule.h"
#include "tenure/planner/step_order.h"

namespace tenure {

// Why a storage keeps memory of its own. kPlanned: it does not.
enum class PlanReason : uint8_t {
  kPlanned,
  kInput,      // has its contents before the schedule
  kOutput,     // outlives the schedule
  kAllocated,  // has bytes already
  kSealed,     // its contents must not change
  kZeroed,     // promised to read as zeros, and the plan may not fill it, or at no one moment
  kHeld,       // somebody outside the schedule has a handle, or Hold was called
  kTooLarge,   // beyond the largest allocation of its space, or what offsets can count
  kModeNone,   // PlanMode::kNone
};
inline constexpr int kPlanReasonCount = 9;
// "planned", "input", "output", "allocated", "sealed", "zeroed", "held", "too_large", "mode_none".
std::string_view PlanReasonName(PlanReason reason);

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
  std::string detail;       // what Hold was told, how many handles are outside, ...
  uint32_t first_step = 0;  // that touches it
  uint32_t last_step = 0;   // inclusive
  uint32_t lane = 0;        // of the first step
  bool needs_fill = false;  // planned, zeroed, and not wholly written by its first step
  uint32_t handles = 0;     // in the schedule
  // In step order; reads of a step before its writes. Borrowed from Liveness::touches.
  absl::Span<const Touch> touches;
};

struct LivenessOptions {
  // Storages promised as zeros may be planned; the plan says where they are to be filled.
  bool fill_zeroed = false;
  // Storages with handles outside the schedule are planned all the same. For plans that are never
  // placed.
  bool ignore_outside_handles = false;
};

// Moves, but does not copy: its storages point into its touches.
struct Liveness {
  Liveness() = default;
  Liveness(Liveness&&) = default;
  Liveness& operator=(Liveness&&) = default;

  // In the order of first touch: the index is the storage's number in plans.
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

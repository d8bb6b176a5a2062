// Plan: where each storage of a schedule goes, as a value.
//
//   arena 0 (cpu, queue 0)  address
//        size_bytes  -  +---------+    +------+
//                       |   h1    |    |  h3  |       placements: storage -> (arena, offset), alive
//                       +----+----+----+------+       during steps [first_step, last_step]
//                       | h0 |     h2         |
//                    0  +----+----------------+---> steps
//
// A plan names storages by number: the order in which the schedule first touches them. So its value
// holds no pointers and no ids. The same schedule, made in another process, has the same numbers, and a
// plan can be stored and loaded there (plan_json.h). `fingerprint` tells schedules apart.
// validate_plan.h checks a plan.
//
// Thread safety: thread-compatible value. Ownership: by value. Errors: InvalidArgument from
// ParsePlanMode.

#ifndef TENURE_PLANNER_PLAN_H_
#define TENURE_PLANNER_PLAN_H_

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "tenure/allocator/memory_space.h"
#include "tenure/planner/fingerprint.h"  // IWYU pragma: export
#include "tenure/planner/plan_reason.h"  // IWYU pragma: export

namespace tenure {

enum class PlanMode : uint8_t {
  kNone,   // every storage keeps memory of its own
  kRemap,  // a storage reuses the bytes of a dead storage of equal rounded size
  kArena,  // all storages of one space and queue are packed into one arena
};
std::string_view PlanModeName(PlanMode mode);  // "none", "remap", "arena"
absl::StatusOr<PlanMode> ParsePlanMode(std::string_view name);

struct PlanArena {
  MemorySpace space = {};
  uint32_t queue = 0;  // Step::queue of what lies in it
  uint64_t size_bytes = 0;
  uint64_t alignment_bytes = 1;
  // The number of the storage whose own memory the arena is: an output that intermediates may use
  // before it is written (OutputPlacement::kReused), or a donated input. It lies at offset 0.
  // Without it, the arena is allocated for the plan.
  std::optional<uint32_t> memory_of = std::nullopt;
  friend bool operator==(const PlanArena&, const PlanArena&) = default;
};

struct Placement {
  uint32_t storage = 0;
  uint32_t arena = 0;
  uint64_t offset_bytes = 0;
  uint64_t size_bytes = 0;  // the storage's size rounded up to the alignment of the plan
  uint32_t first_step = 0;
  uint32_t last_step = 0;  // inclusive
  bool exclusive = false;  // no other storage has any of these bytes at any time
  std::string name = {};   // the storage's
  friend bool operator==(const Placement&, const Placement&) = default;
};

struct NotPlanned {
  uint32_t storage = 0;
  std::string name = {};
  uint64_t size_bytes = 0;
  PlanReason reason = PlanReason::kHeld;
  std::string detail = {};
  friend bool operator==(const NotPlanned&, const NotPlanned&) = default;
};

// Step `after` must not start before step `before` is over: they touch the same bytes in different
// storages.
struct ReuseEdge {
  uint32_t before = 0;
  uint32_t after = 0;
  friend auto operator<=>(const ReuseEdge&, const ReuseEdge&) = default;
};

// The executor must write zeros to the whole storage right before the step.
struct PlanFill {
  uint32_t step = 0;
  uint32_t storage = 0;
  friend bool operator==(const PlanFill&, const PlanFill&) = default;
};

// At the step, storage `output` is written in place: it has the bytes of storage `input`.
struct InPlaceWrite {
  uint32_t step = 0;
  uint32_t input = 0;
  uint32_t output = 0;
  friend bool operator==(const InPlaceWrite&, const InPlaceWrite&) = default;
};

namespace internal {
struct PlanCheck;  // plan_check.h

// Refers to a check that a plan has passed. It is no part of the value of a plan: plans are equal
// whatever it holds.
class PlanCheckReference {
 public:
  const PlanCheck* get() const { return check_.get(); }
  void Set(std::shared_ptr<const PlanCheck> check) { check_ = std::move(check); }
  friend bool operator==(const PlanCheckReference&, const PlanCheckReference&) { return true; }

 private:
  std::shared_ptr<const PlanCheck> check_;
};
}  // namespace internal

// The storages that a plan leaves out for one reason.
struct PlanLeftOut {
  uint64_t storages = 0;
  uint64_t bytes = 0;                         // the sum of their sizes
  std::vector<std::string> first_names = {};  // of up to three; "storage 7" without a name
};

struct Plan {
  std::string name;          // of the schedule
  uint64_t fingerprint = 0;  // of the schedule
  PlanMode mode = PlanMode::kArena;
  uint64_t alignment_bytes = 64;
  std::vector<PlanArena> arenas;
  std::vector<Placement> placements;  // by storage number
  std::vector<NotPlanned> not_planned;
  // For executors that run the steps of a total order concurrently. Empty with dependencies.
  std::vector<ReuseEdge> reuse_edges;
  std::vector<PlanFill> fills;
  std::vector<InPlaceWrite> in_place;
  uint64_t unplanned_bytes = 0;  // what the placed storages would need without the plan
  uint64_t arena_bytes = 0;      // the sum of the arenas' sizes, also of those with `memory_of`
  // Proven: no plan of this mode needs less, with the same queues and the same in-place writes.
  // After LoadPlan only what the lives of the storages prove; MakePlan may have proven more.
  uint64_t lower_bound_bytes = 0;
  bool optimal = false;  // arena_bytes == lower_bound_bytes
  // A deadline or a cancellation ended the search early, so the result may differ between runs.
  bool deadline_hit = false;
  // Set by MakePlan and LoadPlan, for PlacePlan. It is not stored, and it does not hold for a plan
  // or a schedule that has been changed since.
  internal::PlanCheckReference check = {};

  PlanLeftOut LeftOut(PlanReason reason) const;
  // Says which storages the plan leaves out although it was meant to place them (see
  // PlanOptions::require_coverage), and what to do; empty if there are none.
  std::string Uncovered() const;
  // A few lines for people: what is placed, how much memory that takes, and what is left out.
  std::string Summary() const;
  friend bool operator==(const Plan&, const Plan&) = default;
};

}  // namespace tenure

#endif  // TENURE_PLANNER_PLAN_H_

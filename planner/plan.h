// Plan: where each storage of a schedule goes, as a value.
//
//   arena 0 (cpu, lane 0)   address
//        size_bytes  -  +---------+    +------+
//                       |   h1    |    |  h3  |       placements: storage -> (arena, offset), alive
//                       +----+----+----+------+       during steps [first_step, last_step]
//                       | h0 |     h2         |
//                    0  +----+----------------+---> steps
//
// Storages are named by number: the order in which the schedule first touches them. So a plan holds
// no pointers and no ids, the same schedule made in another process has the same numbers, and a
// plan can be stored (plan_json.h) and loaded there. `fingerprint` tells schedules apart.
//
// Thread safety: thread-compatible value. Ownership: by value.
// Errors: ValidatePlan gives FailedPrecondition (the plan is of another schedule, or the schedule's
// storages have changed since) or Internal (the plan is wrong: say, two storages that live at once
// share bytes).

#ifndef TENURE_PLANNER_PLAN_H_
#define TENURE_PLANNER_PLAN_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/planner/liveness.h"
#include "tenure/planner/schedule.h"

namespace tenure {

enum class PlanMode : uint8_t {
  kNone,   // every storage keeps memory of its own
  kRemap,  // whole storages take over the bytes of dead ones of equal rounded size
  kArena,  // everything packed into one arena per space and lane
};
std::string_view PlanModeName(PlanMode mode);  // "none", "remap", "arena"
absl::StatusOr<PlanMode> ParsePlanMode(std::string_view name);

struct PlanArena {
  MemorySpace space = {};
  uint32_t lane = 0;
  uint64_t size_bytes = 0;
  uint64_t alignment_bytes = 1;
  friend bool operator==(const PlanArena&, const PlanArena&) = default;
};

struct Placement {
  uint32_t storage = 0;
  uint32_t arena = 0;
  uint64_t offset_bytes = 0;
  uint64_t size_bytes = 0;  // what it takes: the storage's size rounded up to the alignment
  uint32_t first_step = 0;
  uint32_t last_step = 0;  // inclusive
  bool exclusive = false;  // nobody else is ever given any of these bytes
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

// `after` must not start before `before` is over: it uses bytes that `before` uses under another
// name.
struct ReuseEdge {
  uint32_t before = 0;
  uint32_t after = 0;
  friend auto operator<=>(const ReuseEdge&, const ReuseEdge&) = default;
};

// The executor writes zeros to the whole storage right before the step.
struct PlanFill {
  uint32_t step = 0;
  uint32_t storage = 0;
  friend bool operator==(const PlanFill&, const PlanFill&) = default;
};

// Write `output` took over the bytes of `input` at the step.
struct TakenOver {
  uint32_t step = 0;
  uint32_t input = 0;
  uint32_t output = 0;
  friend bool operator==(const TakenOver&, const TakenOver&) = default;
};

struct Plan {
  std::string name;          // the schedule's
  uint64_t fingerprint = 0;  // of the schedule
  PlanMode mode = PlanMode::kArena;
  uint64_t alignment_bytes = 64;
  std::vector<PlanArena> arenas;
  std::vector<Placement> placements;  // by storage number
  std::vector<NotPlanned> not_planned;
  // For concurrent executors of a total order; empty with dependencies.
  std::vector<ReuseEdge> reuse_edges;
  std::vector<PlanFill> fills;
  std::vector<TakenOver> taken_over;
  uint64_t unplanned_bytes = 0;  // what the placed storages would take with memory of their own
  uint64_t arena_bytes = 0;      // the sum of the arenas' sizes
  // Proven: no plan of this mode, with these lanes and these storages taken over, takes less.
  uint64_t lower_bound_bytes = 0;
  bool optimal = false;  // arena_bytes == lower_bound_bytes
  // A deadline or cancel cut the work short: the result may differ from run to run.
  bool deadline_hit = false;
  friend bool operator==(const Plan&, const Plan&) = default;
};

// A number that two schedules share only if they have the same steps, windows, storages, spaces and
// marks. The same in every process.
uint64_t Fingerprint(const Schedule& schedule);

// Checks a plan against a schedule from scratch: lives are computed again, every two placed
// storages that share bytes must have lives apart in the order that the executor honours (or be
// taken over with permission), and all sums and lists must be what the placements say. Not judged
// are the labels, which nothing rests on: the plan's name, deadline_hit, and names, reasons and
// details in not_planned. Of the planner it shares the liveness analysis, the rule of taking over
// and the making of reuse edges; it looks at every byte range by itself.
absl::Status ValidatePlan(const Plan& plan, const Schedule& schedule);

}  // namespace tenure

#endif  // TENURE_PLANNER_PLAN_H_

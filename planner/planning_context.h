// PlanningContext: the facts about a schedule that planning starts from, computed once for the
// planner and for the explanation of a failure. Internal to the planner.
//
//   schedule -> order, lives -> which storages are placed -> groups -> groups by arena
//
// Thread safety: thread-compatible. Ownership: borrows the schedule, which must outlive it. It is
// neither copied nor moved, since its parts point to each other. Errors: those of liveness.h, and
// InvalidArgument for options.

#ifndef TENURE_PLANNER_PLANNING_CONTEXT_H_
#define TENURE_PLANNER_PLANNING_CONTEXT_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "tenure/planner/arena_packer.h"
#include "tenure/planner/groups.h"
#include "tenure/planner/liveness.h"
#include "tenure/planner/plan.h"
#include "tenure/planner/plan_options.h"
#include "tenure/planner/schedule.h"
#include "tenure/planner/step_order.h"

namespace tenure {

// Groups with the same allocator and the same queue may share arenas.
using ArenaKey = std::pair<Allocator*, uint32_t>;

struct ArenaMembers {
  ArenaKey key;
  std::vector<uint32_t> groups;
};

class PlanningContext {
 public:
  static absl::StatusOr<std::unique_ptr<PlanningContext>> Make(const Schedule& schedule,
                                                               const PlanOptions& options);
  PlanningContext(const PlanningContext&) = delete;
  PlanningContext& operator=(const PlanningContext&) = delete;

  const StepOrder& order() const { return order_; }
  const Liveness& liveness() const { return liveness_; }
  const std::vector<StorageGroup>& groups() const { return grouping_.groups; }
  // In the order of first use.
  const std::vector<ArenaMembers>& arenas() const { return arenas_; }
  const ArenaPacker& packer() const { return packer_; }
  // The plan before anything is placed: labels, what is not planned, fills and in-place writes.
  const Plan& start() const { return plan_; }

 private:
  PlanningContext(const Schedule& schedule, const PlanOptions& options);

  const PlanOptions options_;
  const StepOrder order_;
  Liveness liveness_;
  Plan plan_;
  Grouping grouping_;
  std::vector<ArenaMembers> arenas_;
  const ArenaPacker packer_;
};

}  // namespace tenure

#endif  // TENURE_PLANNER_PLANNING_CONTEXT_H_

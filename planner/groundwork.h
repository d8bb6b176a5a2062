// Groundwork: what planning starts from, worked out once for the planner and for those who explain
// why it failed. Internal to the planner.
//
//   schedule -> order, lives -> which storages are placed -> groups -> groups by arena
//
// Thread safety: thread-compatible. Ownership: borrows the schedule (must outlive it); neither
// copied nor moved, as its parts point to each other. Errors: what liveness.h says; InvalidArgument
// for options.

#ifndef TENURE_PLANNER_GROUNDWORK_H_
#define TENURE_PLANNER_GROUNDWORK_H_

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "tenure/planner/arena_packer.h"
#include "tenure/planner/groups.h"
#include "tenure/planner/liveness.h"
#include "tenure/planner/plan.h"
#include "tenure/planner/planner.h"
#include "tenure/planner/schedule.h"
#include "tenure/planner/step_order.h"

namespace tenure {

// Groups that may share arenas: of one allocator and one lane.
using ArenaKey = std::pair<Allocator*, uint32_t>;

struct ArenaMembers {
  ArenaKey key;
  std::vector<uint32_t> groups;
};

class Groundwork {
 public:
  static absl::StatusOr<std::unique_ptr<Groundwork>> Make(const Schedule& schedule,
                                                          const PlanOptions& options);
  Groundwork(const Groundwork&) = delete;
  Groundwork& operator=(const Groundwork&) = delete;

  const StepOrder& order() const { return order_; }
  const Liveness& liveness() const { return liveness_; }
  const std::vector<StorageGroup>& groups() const { return grouping_.groups; }
  // In the order of first use.
  const std::vector<ArenaMembers>& arenas() const { return arenas_; }
  const ArenaPacker& packer() const { return packer_; }
  // The plan before anything is placed: labels, what is not planned, fills, what is taken over.
  const Plan& start() const { return plan_; }

 private:
  Groundwork(const Schedule& schedule, const PlanOptions& options);

  const PlanOptions options_;
  const StepOrder order_;
  Liveness liveness_;
  Plan plan_;
  Grouping grouping_;
  std::vector<ArenaMembers> arenas_;
  const ArenaPacker packer_;
};

// How much of PlanOptions::capacity_bytes each entry of arenas() may take. Lanes of one space share
// it: to those that follow at least their lower bound is left.
class CapacityLeft {
 public:
  CapacityLeft(const Groundwork& work, const PlanOptions& options);

  // Of entry `index`; entries are asked in their order, each once.
  uint64_t Of(size_t index);
  // What entry `index` has taken.
  void Take(size_t index, uint64_t bytes);

 private:
  const Groundwork& work_;
  const uint64_t capacity_;
  std::vector<uint64_t> bounds_;            // of each entry
  std::map<Allocator*, uint64_t> claimed_;  // taken, or the bounds of what is to come
};

}  // namespace tenure

#endif  // TENURE_PLANNER_GROUNDWORK_H_

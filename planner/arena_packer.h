// ArenaPacker: decides which arena and offset each group gets, by one of the ways to pack. Internal
// to the planner.
//
//   total order, one arena       the solver, with the lives as intervals
//   dependencies                 PackInOrder. If its result is above the lower bound and there are
//                                at most max_searched groups, also the solver's search under the
//                                partial order; the lower result is used
//   one arena would be           as with dependencies, with as few arenas as possible
//   too large
//
// Cost: that of the solver. Thread safety: thread-compatible. Ownership: borrows everything that it
// is made from. Errors: those of the solver.

#ifndef TENURE_PLANNER_ARENA_PACKER_H_
#define TENURE_PLANNER_ARENA_PACKER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tenure/planner/groups.h"
#include "tenure/planner/packing/packing.h"
#include "tenure/planner/packing/problem.h"
#include "tenure/planner/plan_options.h"
#include "tenure/planner/schedule.h"
#include "tenure/planner/step_order.h"

namespace tenure {

struct ArenaPacking {
  std::vector<uint64_t> offsets;   // of each member
  std::vector<uint32_t> arenas;    // of each member
  uint64_t height_bytes = 0;       // of all arenas; above the capacity if no packing fits into it
  uint64_t lower_bound_bytes = 0;  // above the capacity if it is proven that no packing fits
  bool deadline_hit = false;
  std::string search_limit;  // packing::Packing::search_limit
};

class ArenaPacker {
 public:
  ArenaPacker(const Schedule& schedule, const PlanOptions& options, const StepOrder& order,
              const std::vector<StorageGroup>& groups)
      : schedule_(schedule), options_(options), order_(order), groups_(groups) {}

  // `members` are groups of one allocator and one queue. No group is larger than `limit_bytes`, and
  // no arena gets larger. The packing is as low as the effort allows. If that is above
  // `capacity_bytes`, the solver also searches for a packing within the capacity.
  absl::StatusOr<ArenaPacking> Pack(const std::vector<uint32_t>& members, uint64_t limit_bytes,
                                    uint64_t capacity_bytes) const;
  // Returns how many bytes all packings of the members need, whether they take one arena or several:
  // those with memory of their own have an arena each, and one that could get larger than
  // `limit_bytes` is divided.
  uint64_t LowerBound(const std::vector<uint32_t>& members, uint64_t limit_bytes) const;
  // The members as a packing problem for the order of the list: an item for each, moments are
  // steps.
  packing::Problem Intervals(const std::vector<uint32_t>& members) const;

 private:
  void AddHints(const std::vector<uint32_t>& members, packing::Problem& problem) const;
  void AddOrder(const std::vector<uint32_t>& members, packing::Problem& problem) const;
  absl::StatusOr<packing::Packing> Solve(const packing::Problem& problem, uint64_t capacity_bytes,
                                         packing::Effort effort) const;
  absl::StatusOr<packing::Packing> SolveWithin(const packing::Problem& problem,
                                               uint64_t capacity_bytes) const;

  const Schedule& schedule_;
  const PlanOptions& options_;
  const StepOrder& order_;
  const std::vector<StorageGroup>& groups_;
};

}  // namespace tenure

#endif  // TENURE_PLANNER_ARENA_PACKER_H_

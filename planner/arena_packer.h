// Which arena and offset each group gets: chooses the way of packing. Internal to the planner.
//
//   total order, one arena       the solver, on lives as intervals
//   dependencies                 PackInOrder; beyond the peak and up to max_searched groups, the
//                                solver's search under the partial order too: the lower one counts
//   several arenas, because      the same, with as few arenas as possible
//   one would be too large
//
// Cost: the solver's. Thread safety: thread-compatible. Ownership: borrows all that it is made
// from. Errors: what the solver refuses.

#ifndef TENURE_PLANNER_ARENA_PACKER_H_
#define TENURE_PLANNER_ARENA_PACKER_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "tenure/planner/groups.h"
#include "tenure/planner/packing/packing.h"
#include "tenure/planner/packing/problem.h"
#include "tenure/planner/planner.h"

namespace tenure {

struct ArenaPacking {
  std::vector<uint64_t> offsets;   // of each member
  std::vector<uint32_t> arenas;    // of each member
  uint64_t height_bytes = 0;       // of all arenas; above the capacity if none was found within it
  uint64_t lower_bound_bytes = 0;  // above the capacity if there is none for sure
  bool deadline_hit = false;
};

class ArenaPacker {
 public:
  ArenaPacker(const Schedule& schedule, const PlanOptions& options, const StepOrder& order,
              const std::vector<StorageGroup>& groups)
      : schedule_(schedule), options_(options), order_(order), groups_(groups) {}

  // `members`: groups of one allocator and lane. No arena gets larger than `limit_bytes`, which no
  // group exceeds. As low as the effort gets, and harder if that is above `capacity_bytes`.
  absl::StatusOr<ArenaPacking> Pack(const std::vector<uint32_t>& members, uint64_t limit_bytes,
                                    uint64_t capacity_bytes) const;
  // The members as packing sees them in the order of the list: an item for each, moments are steps.
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

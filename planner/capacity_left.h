// CapacityLeft: how much of PlanOptions::capacity_bytes each entry of PlanningContext::arenas() may
// use. Internal to the planner.
//
// The queues of one space share the capacity. While an entry is packed, the lower bounds of all
// later entries of its space are kept free for them.
//
// Cost: with a capacity, a lower bound for each entry. Thread safety: thread-compatible.
// Ownership: borrows the context.

#ifndef TENURE_PLANNER_CAPACITY_LEFT_H_
#define TENURE_PLANNER_CAPACITY_LEFT_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "tenure/planner/planning_context.h"

namespace tenure {

class CapacityLeft {
 public:
  CapacityLeft(const PlanningContext& context, uint64_t capacity_bytes);

  // Returns the bytes that entry `index` may use. Ask for the entries in their order, once each.
  uint64_t Of(size_t index);
  // Records how many bytes entry `index` uses.
  void Spend(size_t index, uint64_t bytes);

 private:
  const PlanningContext& context_;
  const uint64_t capacity_;
  std::vector<uint64_t> bounds_;            // of each entry
  std::map<Allocator*, uint64_t> claimed_;  // spent, or the lower bounds of later entries
};

}  // namespace tenure

#endif  // TENURE_PLANNER_CAPACITY_LEFT_H_

// CapacityLeft: how much of PlanOptions::capacity_bytes each entry of PlanningContext::arenas() may
// use. Internal to the planner.
//
// The queues and the allocators of one space share the capacity. While an entry is packed, the
// lower bounds of all later entries of its space are kept free for them.
//
// Cost: with a capacity, a lower bound for each entry. Thread safety: thread-compatible.
// Ownership: borrows the context for the construction.

#ifndef TENURE_PLANNER_CAPACITY_LEFT_H_
#define TENURE_PLANNER_CAPACITY_LEFT_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tenure/planner/planning_context.h"

namespace tenure {

class CapacityLeft {
 public:
  CapacityLeft(const PlanningContext& context, uint64_t capacity_bytes);

  // Returns the bytes that entry `index` may use. Ask for the entries in their order, once each.
  uint64_t Of(size_t index);
  // Returns the bytes that would be left for entry `index` if all others of its space got no more
  // than they surely need. If it needs more, no plan fits.
  uint64_t AtMost(size_t index) const;
  // Records how many bytes entry `index` uses, and how many it surely needs.
  void Spend(size_t index, uint64_t bytes, uint64_t lower_bound_bytes);

 private:
  const uint64_t capacity_;
  struct Space {
    uint64_t claimed = 0;  // spent, or the lower bounds of later entries
    uint64_t needed = 0;   // the lower bounds of all entries
  };
  std::vector<uint64_t> bounds_;  // of each entry
  std::vector<Space*> space_of_;  // of each entry
  std::map<std::string, Space> spaces_;
};

}  // namespace tenure

#endif  // TENURE_PLANNER_CAPACITY_LEFT_H_

#include "tenure/planner/capacity_left.h"

#include <algorithm>

#include "tenure/planner/packing/lower_bound.h"
#include "tenure/planner/packing/problem.h"

namespace tenure {

CapacityLeft::CapacityLeft(const PlanningContext& context, uint64_t capacity_bytes)
    : context_(context), capacity_(capacity_bytes) {
  if (capacity_ == packing::kUnlimited) return;
  for (const ArenaMembers& arena : context.arenas()) {
    bounds_.push_back(packing::LowerBound(context.packer().Intervals(arena.groups)));
    claimed_[arena.key.first] += bounds_.back();
  }
}

uint64_t CapacityLeft::Of(size_t index) {
  if (capacity_ == packing::kUnlimited) return capacity_;
  uint64_t& claimed = claimed_[context_.arenas()[index].key.first];
  claimed -= bounds_[index];
  return capacity_ - std::min(capacity_, claimed);
}

void CapacityLeft::Spend(size_t index, uint64_t bytes) {
  if (capacity_ != packing::kUnlimited) claimed_[context_.arenas()[index].key.first] += bytes;
}

}  // namespace tenure

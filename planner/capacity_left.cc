#include "tenure/planner/capacity_left.h"

#include <algorithm>

#include "tenure/planner/packing/problem.h"
#include "tenure/planner/remap.h"

namespace tenure {
namespace {

uint64_t LowerBoundOf(const PlanningContext& context, const ArenaMembers& arena) {
  if (context.start().mode == PlanMode::kRemap) {
    return Remap(context.order(), context.groups(), arena.groups).lower_bound_bytes;
  }
  return context.packer().LowerBound(arena.groups, arena.key.first->traits().max_allocation_bytes);
}

}  // namespace

CapacityLeft::CapacityLeft(const PlanningContext& context, uint64_t capacity_bytes)
    : capacity_(capacity_bytes) {
  if (capacity_ == packing::kUnlimited) return;
  for (const ArenaMembers& arena : context.arenas()) {
    Space& space = spaces_[arena.key.first->space().ToString()];
    space_of_.push_back(&space);
    bounds_.push_back(LowerBoundOf(context, arena));
    space.claimed += bounds_.back();
    space.needed += bounds_.back();
  }
}

uint64_t CapacityLeft::Of(size_t index) {
  if (capacity_ == packing::kUnlimited) return capacity_;
  uint64_t& claimed = space_of_[index]->claimed;
  claimed -= bounds_[index];
  return capacity_ - std::min(capacity_, claimed);
}

uint64_t CapacityLeft::AtMost(size_t index) const {
  if (capacity_ == packing::kUnlimited) return capacity_;
  return capacity_ - std::min(capacity_, space_of_[index]->needed - bounds_[index]);
}

void CapacityLeft::Spend(size_t index, uint64_t bytes, uint64_t lower_bound_bytes) {
  if (capacity_ == packing::kUnlimited) return;
  Space& space = *space_of_[index];
  space.claimed += bytes;
  if (lower_bound_bytes <= bounds_[index]) return;
  space.needed += lower_bound_bytes - bounds_[index];
  bounds_[index] = lower_bound_bytes;
}

}  // namespace tenure

#include "tenure/planner/planner.h"

#include <algorithm>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "tenure/allocator/observer.h"
#include "tenure/planner/arena_packer.h"
#include "tenure/planner/capacity_left.h"
#include "tenure/planner/find_shortage.h"
#include "tenure/planner/groups.h"
#include "tenure/planner/own_memory.h"
#include "tenure/planner/plan_check.h"
#include "tenure/planner/plan_validator.h"
#include "tenure/planner/planning_context.h"
#include "tenure/planner/remap.h"
#include "tenure/planner/reuse_edges.h"
#include "tenure/planner/shortage.h"

namespace tenure {
namespace {

// Adds a placement for each storage of the members. `offsets` and `arenas` say where each member
// lies. An arena is added to the plan when the first storage in it is placed, so no arena is empty.
void AddPlacements(const ArenaKey& key, const std::vector<StorageGroup>& groups,
                   const std::vector<uint32_t>& members, const Liveness& liveness,
                   const std::vector<uint64_t>& offsets, const std::vector<uint32_t>& arenas,
                   Plan& plan) {
  std::vector<uint32_t> arena_of;
  for (uint32_t i = 0; i < members.size(); ++i) {
    const StorageGroup& group = groups[members[i]];
    if (arenas[i] >= arena_of.size()) arena_of.resize(arenas[i] + 1, ~0u);
    uint32_t& arena = arena_of[arenas[i]];
    if (arena == ~0u) {
      arena = static_cast<uint32_t>(plan.arenas.size());
      plan.arenas.push_back({.space = key.first->space(),
                             .queue = key.second,
                             .alignment_bytes = plan.alignment_bytes});
    }
    PlanArena& to = plan.arenas[arena];
    to.size_bytes = std::max(to.size_bytes, offsets[i] + group.size_bytes);
    to.alignment_bytes = std::max(to.alignment_bytes, group.alignment_bytes);
    for (uint32_t s : group.storages) {
      const StorageLife& life = liveness.storages[s];
      plan.placements.push_back({.storage = s,
                                 .arena = arena,
                                 .offset_bytes = offsets[i],
                                 .size_bytes = group.size_bytes,
                                 .first_step = life.first_step,
                                 .last_step = life.last_step,
                                 .name = life.storage->name()});
    }
  }
}

// Marks the placements whose bytes no other placement has.
void MarkExclusive(Plan& plan) {
  std::vector<Placement*> order;
  for (Placement& p : plan.placements) {
    p.exclusive = true;
    if (p.size_bytes > 0) order.push_back(&p);
  }
  std::sort(order.begin(), order.end(), [](const Placement* a, const Placement* b) {
    return std::tie(a->arena, a->offset_bytes, a->storage) <
           std::tie(b->arena, b->offset_bytes, b->storage);
  });
  Placement* highest = nullptr;  // of the placements so far, the one that ends last
  for (Placement* p : order) {
    const bool same = highest != nullptr && highest->arena == p->arena;
    if (same && highest->offset_bytes + highest->size_bytes > p->offset_bytes) {
      highest->exclusive = p->exclusive = false;
    }
    if (!same || p->offset_bytes + p->size_bytes > highest->offset_bytes + highest->size_bytes)
      highest = p;
  }
}

}  // namespace

absl::StatusOr<Plan> MakePlan(const Schedule& schedule, const PlanOptions& options,
                              Shortage* shortage) {
  absl::StatusOr<std::unique_ptr<PlanningContext>> made = PlanningContext::Make(schedule, options);
  if (!made.ok()) return made.status();
  const PlanningContext& context = **made;
  const std::vector<StorageGroup>& groups = context.groups();
  Plan plan = context.start();
  CapacityLeft capacity(context, options.capacity_bytes);
  for (size_t a = 0; a < context.arenas().size(); ++a) {
    const auto& [key, members] = context.arenas()[a];
    const uint64_t left = capacity.Of(a);
    uint64_t height = 0, bound = 0;
    std::string search_limit;
    const uint64_t limit = key.first->traits().max_allocation_bytes;
    const internal::OwnMemoryPacking own =
        internal::PackOwnMemory(context.order(), context.liveness(), groups, members);
    for (const internal::OwnMemory& memory : own.memories) {
      AddPlacements(key, groups, memory.members, context.liveness(), memory.offsets,
                    std::vector<uint32_t>(memory.members.size(), 0), plan);
      plan.arenas.back().memory_of = groups[memory.members[0]].memory_of;
    }
    if (own.rest.empty()) {
      height = bound = own.bytes;
    } else if (options.mode == PlanMode::kRemap) {
      const Remapping slots = Remap(context.order(), groups, members);
      AddPlacements(key, groups, members, context.liveness(),
                    std::vector<uint64_t>(members.size(), 0), slots.slot_of, plan);
      height = slots.height_bytes;
      bound = slots.lower_bound_bytes;
    } else {
      absl::StatusOr<ArenaPacking> packing =
          context.packer().Pack(own.rest, limit, left - std::min(left, own.bytes));
      if (!packing.ok()) return packing.status();
      AddPlacements(key, groups, own.rest, context.liveness(), packing->offsets, packing->arenas,
                    plan);
      height = own.bytes + packing->height_bytes;
      // What is proven of the rest depends on what was put into own memories.
      bound = own.memories.empty() ? packing->lower_bound_bytes
                                   : context.packer().LowerBound(members, limit);
      search_limit = std::move(packing->search_limit);
      plan.deadline_hit = plan.deadline_hit || packing->deadline_hit;
    }
    if (height > left) {
      Shortage found =
          internal::FindShortage(context, a, {left, capacity.AtMost(a)}, bound, search_limit);
      absl::Status status = internal::ShortageStatus(found, schedule);
      if (shortage != nullptr) *shortage = std::move(found);
      return status;
    }
    plan.lower_bound_bytes += bound;
    capacity.Spend(a, height, bound);
  }
  std::sort(plan.placements.begin(), plan.placements.end(),
            [](const Placement& a, const Placement& b) { return a.storage < b.storage; });
  for (const PlanArena& arena : plan.arenas) plan.arena_bytes += arena.size_bytes;
  plan.optimal = plan.arena_bytes == plan.lower_bound_bytes;
  MarkExclusive(plan);
  if (schedule.order() == OrderKind::kTotal)
    plan.reuse_edges = ReuseEdges(plan, context.liveness());
  if (absl::Status status =
          internal::ValidateMadePlan(plan, schedule, context.order(), context.liveness());
      !status.ok()) {
    return status;
  }
  internal::RememberCheck(schedule, context.liveness(), plan);
  Notify([&plan] {
    return Event{
        .kind = Event::Kind::kPlan, .size_bytes = plan.arena_bytes, .name = std::string(plan.name)};
  });
  return plan;
}

}  // namespace tenure

#include "tenure/planner/planner.h"

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/checked.h"
#include "tenure/allocator/observer.h"
#include "tenure/planner/arena_packer.h"
#include "tenure/planner/groups.h"
#include "tenure/planner/remap.h"
#include "tenure/planner/reuse_edges.h"
#include "tenure/planner/validate_plan.h"

namespace tenure {
namespace {

constexpr uint64_t kMaxAlignment = uint64_t{1} << 32;
constexpr uint64_t kMaxBytes = uint64_t{1} << 62;  // so that no sum of offsets can wrap

// Groups that may share arenas: of one allocator and one lane.
using ArenaKey = std::pair<Allocator*, uint32_t>;

std::vector<std::pair<ArenaKey, std::vector<uint32_t>>> ByArenaKey(
    const std::vector<StorageGroup>& groups) {
  std::vector<std::pair<ArenaKey, std::vector<uint32_t>>>
      result;  // in the order of first use: deterministic
  std::map<ArenaKey, size_t> place;
  for (uint32_t g = 0; g < groups.size(); ++g) {
    const ArenaKey key{groups[g].allocator, groups[g].lane};
    auto [it, fresh] = place.try_emplace(key, result.size());
    if (fresh) result.push_back({key, {}});
    result[it->second].second.push_back(g);
  }
  return result;
}

// Gives the members their places; arenas are made as they are first needed, none without anything
// in it.
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
                             .lane = key.second,
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
                                 .last_step = life.last_step});
    }
  }
}

// Marks placements whose bytes nobody else is ever given.
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
  Placement* highest = nullptr;  // of those before: the one that reaches furthest
  for (Placement* p : order) {
    const bool same = highest != nullptr && highest->arena == p->arena;
    if (same && highest->offset_bytes + highest->size_bytes > p->offset_bytes) {
      highest->exclusive = p->exclusive = false;
    }
    if (!same || p->offset_bytes + p->size_bytes > highest->offset_bytes + highest->size_bytes)
      highest = p;
  }
}

// The reason not to place it that numbers give, or kPlanned. `counted_bytes` sums what all need at
// most, alignment included.
PlanReason TooLarge(const Storage& storage, uint64_t plan_alignment, uint64_t& counted_bytes,
                    std::string& detail) {
  const uint64_t limit = storage.allocator().traits().max_allocation_bytes;
  const uint64_t alignment = std::max(plan_alignment, storage.alignment_bytes());
  uint64_t rounded = 0;
  if (!CheckedRoundUp(storage.size_bytes(), plan_alignment, &rounded) || rounded > limit) {
    detail = absl::StrCat("the largest allocation of ", storage.allocator().space().ToString(),
                          " is ", limit);
  } else if (alignment > kMaxAlignment) {
    detail = absl::StrCat("it asks for alignment ", alignment);
  } else if (rounded >= kMaxBytes - counted_bytes ||
             alignment >= kMaxBytes - counted_bytes - rounded) {
    detail = "all storages together need more than 2^62 bytes";
  } else {
    counted_bytes += rounded + alignment;
    return PlanReason::kPlanned;
  }
  return PlanReason::kTooLarge;
}

// Fills in not_planned, fills and unplanned_bytes, and settles the reasons.
void Choose(const PlanOptions& options, Liveness& liveness, Plan& plan) {
  uint64_t counted_bytes = 0;
  for (uint32_t s = 0; s < liveness.storages.size(); ++s) {
    StorageLife& life = liveness.storages[s];
    if (life.reason == PlanReason::kPlanned) {
      life.reason =
          options.mode == PlanMode::kNone
              ? PlanReason::kModeNone
              : TooLarge(*life.storage, options.alignment_bytes, counted_bytes, life.detail);
    }
    if (life.reason != PlanReason::kPlanned) {
      plan.not_planned.push_back(
          {s, life.storage->name(), life.storage->size_bytes(), life.reason, life.detail});
      continue;
    }
    uint64_t rounded = 0;
    if (CheckedRoundUp(life.storage->size_bytes(), options.alignment_bytes, &rounded))
      plan.unplanned_bytes += rounded;
    if (life.needs_fill) plan.fills.push_back({life.first_step, s});
  }
}

}  // namespace

absl::StatusOr<Plan> MakePlan(const Schedule& schedule, const PlanOptions& options) {
  if (!IsPowerOfTwo(options.alignment_bytes) || options.alignment_bytes > kMaxAlignment) {
    return absl::InvalidArgumentError(absl::StrCat("alignment ", options.alignment_bytes,
                                                   " is not a power of two of at most 2^32"));
  }
  if (options.max_threads < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_threads is ", options.max_threads, "; the calling thread is one"));
  }
  const StepOrder order(schedule);
  absl::StatusOr<Liveness> liveness =
      AnalyzeLiveness(schedule, order,
                      {.fill_zeroed = options.fill_zeroed,
                       .ignore_outside_handles = options.ignore_outside_handles});
  if (!liveness.ok()) return liveness.status();

  Plan plan;
  plan.name = schedule.name();
  plan.fingerprint = internal::Fingerprint(schedule, *liveness);
  plan.mode = options.mode;
  plan.alignment_bytes = options.alignment_bytes;
  Choose(options, *liveness, plan);
  Grouping grouping =
      GroupStorages(schedule, order, *liveness, options.alignment_bytes, options.in_place);
  plan.taken_over = std::move(grouping.taken_over);
  const std::vector<StorageGroup>& groups = grouping.groups;
  const ArenaPacker packer(schedule, options, order, groups);
  for (const auto& [key, members] : ByArenaKey(groups)) {
    if (options.mode == PlanMode::kRemap) {
      const Remapping slabs = Remap(order, groups, members);
      AddPlacements(key, groups, members, *liveness, std::vector<uint64_t>(members.size(), 0),
                    slabs.slab_of, plan);
      plan.lower_bound_bytes += slabs.lower_bound_bytes;
      continue;
    }
    absl::StatusOr<ArenaPacking> packing =
        packer.Pack(members, key.first->traits().max_allocation_bytes);
    if (!packing.ok()) return packing.status();
    AddPlacements(key, groups, members, *liveness, packing->offsets, packing->arenas, plan);
    plan.lower_bound_bytes += packing->lower_bound_bytes;
    plan.deadline_hit = plan.deadline_hit || packing->deadline_hit;
  }
  std::sort(plan.placements.begin(), plan.placements.end(),
            [](const Placement& a, const Placement& b) { return a.storage < b.storage; });
  for (const PlanArena& arena : plan.arenas) plan.arena_bytes += arena.size_bytes;
  plan.optimal = plan.arena_bytes == plan.lower_bound_bytes;
  MarkExclusive(plan);
  if (schedule.order() == OrderKind::kTotal) plan.reuse_edges = ReuseEdges(plan, *liveness);
  if (absl::Status status = internal::ValidateAgainst(plan, schedule, order, *liveness);
      !status.ok()) {
    return status;
  }
  Notify({.kind = Event::Kind::kPlan, .name = plan.name, .size_bytes = plan.arena_bytes});
  return plan;
}

}  // namespace tenure

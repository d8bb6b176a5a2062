#include "tenure/planner/planner.h"

#include <algorithm>
#include <map>
#include <queue>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/checked.h"
#include "tenure/allocator/observer.h"
#include "tenure/planner/groups.h"
#include "tenure/planner/reuse_edges.h"
#include "tenure/planner/validate_plan.h"

namespace tenure {
namespace {

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

void AddPlacements(const StorageGroup& group, const Liveness& liveness, uint32_t arena,
                   uint64_t offset, Plan& plan) {
  for (uint32_t s : group.storages) {
    const StorageLife& life = liveness.storages[s];
    plan.placements.push_back({.storage = s,
                               .arena = arena,
                               .offset_bytes = offset,
                               .size_bytes = group.size_bytes,
                               .first_step = life.first_step,
                               .last_step = life.last_step});
  }
}

packing::Problem MakeProblem(const Schedule& schedule, const Liveness& liveness,
                             const std::vector<StorageGroup>& groups,
                             const std::vector<uint32_t>& members) {
  packing::Problem problem;
  problem.items.reserve(members.size());
  for (uint32_t g : members) {
    const StorageGroup& group = groups[g];
    problem.items.push_back({.first = group.first_step,
                             .last = packing::Time{group.last_step} + 1,
                             .size = group.size_bytes,
                             .alignment = group.alignment_bytes});
  }
  if (schedule.order() == OrderKind::kDependencies) {
    problem.order.steps = static_cast<uint32_t>(schedule.steps().size());
    for (uint32_t step = 0; step < schedule.steps().size(); ++step) {
      for (uint32_t before : schedule.steps()[step].after)
        problem.order.edges.push_back({before, step});
    }
    for (uint32_t i = 0; i < members.size(); ++i) {
      for (uint32_t s : groups[members[i]].storages) {
        for (const Touch& touch : liveness.storages[s].touches) {
          if (problem.order.uses.empty() || problem.order.uses.back().item != i ||
              problem.order.uses.back().step != touch.step) {
            problem.order.uses.push_back({i, touch.step});
          }
        }
      }
    }
  }
  return problem;
}

// Packs the groups of one key into one arena, or into as few as the largest allocation of the space
// allows.
absl::Status PackArena(const Schedule& schedule, const PlanOptions& options,
                       const Liveness& liveness, const std::vector<StorageGroup>& groups,
                       const ArenaKey& key, const std::vector<uint32_t>& members, Plan& plan) {
  packing::Problem problem = MakeProblem(schedule, liveness, groups, members);
  packing::SolveOptions solve;
  solve.effort = options.effort;
  solve.deadline = options.deadline;
  solve.cancel = options.cancel;
  solve.max_threads = options.max_threads;
  absl::StatusOr<packing::Packing> packing = packing::Solve(problem, solve);
  const uint64_t limit = key.first->traits().max_allocation_bytes;
  uint64_t bound = packing.ok() ? packing->lower_bound : 0;
  if (packing.ok() && packing->height > limit) {
    uint64_t arenas =
        std::max<uint64_t>(2, packing->height / limit + (packing->height % limit != 0 ? 1 : 0));
    do {
      problem.arenas.assign(arenas, packing::Arena{.limit = limit});
      packing = packing::Solve(problem, solve);
    } while (packing.ok() && !packing->has_offsets() && !packing->deadline_hit &&
             ++arenas <= members.size());
    if (packing.ok()) bound = std::max(bound, packing->lower_bound);
  }
  if (!packing.ok()) return packing.status();
  if (!packing->has_offsets()) {
    return absl::DeadlineExceededError(absl::StrCat(
        "no packing of ", members.size(), " storages of ", key.first->space().ToString(),
        " was found before the deadline; give it more time"));
  }
  plan.deadline_hit = plan.deadline_hit || packing->deadline_hit;
  plan.lower_bound_bytes += bound;
  // Arenas that got nothing are left out.
  std::vector<uint32_t> arena_of(std::max<size_t>(1, problem.arenas.size()), ~0u);
  for (uint32_t i = 0; i < members.size(); ++i) {
    const StorageGroup& group = groups[members[i]];
    uint32_t& arena = arena_of[packing->arena(i)];
    if (arena == ~0u) {
      arena = static_cast<uint32_t>(plan.arenas.size());
      plan.arenas.push_back({.space = key.first->space(),
                             .lane = key.second,
                             .alignment_bytes = plan.alignment_bytes});
    }
    PlanArena& to = plan.arenas[arena];
    to.size_bytes = std::max(to.size_bytes, packing->offsets[i] + group.size_bytes);
    to.alignment_bytes = std::max(to.alignment_bytes, group.alignment_bytes);
    AddPlacements(group, liveness, arena, packing->offsets[i], plan);
  }
  return absl::OkStatus();
}

// Whether a's steps are all over before b's first.
bool AllBefore(const StorageGroup& a, const StorageGroup& b, const Liveness& liveness,
               const StepOrder& order) {
  if (a.last_step >= b.first_step) return false;  // list order is a legal order
  for (uint32_t s : a.storages) {
    for (const Touch& before : liveness.storages[s].touches) {
      for (uint32_t t : b.storages) {
        for (const Touch& after : liveness.storages[t].touches) {
          if (!order.Precedes(before.step, after.step)) return false;
        }
      }
    }
  }
  return true;
}

// Whole slabs, each given to one group after the other of its size: of those free, the one freed
// last.
void Remap(const Schedule& schedule, const StepOrder& order, const Liveness& liveness,
           const std::vector<StorageGroup>& groups, const ArenaKey& key,
           std::vector<uint32_t> members, Plan& plan) {
  std::stable_sort(members.begin(), members.end(), [&](uint32_t a, uint32_t b) {
    return groups[a].first_step < groups[b].first_step;
  });
  struct Slab {
    uint32_t arena;
    uint32_t tenant;
  };
  std::map<std::pair<uint64_t, uint64_t>, std::vector<Slab>> slabs;  // by size and alignment
  std::map<std::pair<uint64_t, uint64_t>, std::vector<std::pair<uint32_t, int>>> changes;
  const bool total = schedule.order() == OrderKind::kTotal;
  for (uint32_t g : members) {
    const StorageGroup& group = groups[g];
    const std::pair<uint64_t, uint64_t> size{group.size_bytes, group.alignment_bytes};
    changes[size].push_back({group.first_step, +1});
    changes[size].push_back({group.last_step + 1, -1});
    auto& candidates = slabs[size];
    Slab* best = nullptr;
    for (Slab& slab : candidates) {
      const StorageGroup& tenant = groups[slab.tenant];
      const bool free =
          total ? tenant.last_step < group.first_step : AllBefore(tenant, group, liveness, order);
      if (free && (best == nullptr || tenant.last_step > groups[best->tenant].last_step))
        best = &slab;
    }
    if (best == nullptr) {
      candidates.push_back({static_cast<uint32_t>(plan.arenas.size()), g});
      best = &candidates.back();
      plan.arenas.push_back({.space = key.first->space(),
                             .lane = key.second,
                             .size_bytes = group.size_bytes,
                             .alignment_bytes = group.alignment_bytes});
    }
    best->tenant = g;
    AddPlacements(group, liveness, best->arena, 0, plan);
  }
  for (auto& [size, steps] : changes) {
    std::sort(steps.begin(), steps.end());  // ends (-1) before starts (+1) of the same step
    int64_t live = 0, peak = 0;
    for (auto [step, change] : steps) peak = std::max(peak, live += change);
    plan.lower_bound_bytes += static_cast<uint64_t>(peak) * size.first;
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

}  // namespace

absl::StatusOr<Plan> MakePlan(const Schedule& schedule, const PlanOptions& options) {
  if (!IsPowerOfTwo(options.alignment_bytes) || options.alignment_bytes > (uint64_t{1} << 32)) {
    return absl::InvalidArgumentError(absl::StrCat("alignment ", options.alignment_bytes,
                                                   " is not a power of two of at most 2^32"));
  }
  const StepOrder order(schedule);
  absl::StatusOr<Liveness> liveness =
      AnalyzeLiveness(schedule, order,
                      {.fill_zeroed = options.fill_zeroed,
                       .ignore_outside_handles = options.ignore_outside_handles});
  if (!liveness.ok()) return liveness.status();

  Plan plan;
  plan.name = schedule.name();
  plan.fingerprint = Fingerprint(schedule);
  plan.mode = options.mode;
  plan.alignment_bytes = options.alignment_bytes;
  for (uint32_t s = 0; s < liveness->storages.size(); ++s) {
    StorageLife& life = liveness->storages[s];
    if (life.reason == PlanReason::kPlanned) {
      uint64_t rounded = 0;
      if (options.mode == PlanMode::kNone) {
        life.reason = PlanReason::kModeNone;
      } else if (!CheckedRoundUp(life.storage->size_bytes(), options.alignment_bytes, &rounded) ||
                 rounded > life.storage->allocator().traits().max_allocation_bytes ||
                 rounded >= (uint64_t{1} << 62)) {
        life.reason = PlanReason::kTooLarge;
      } else {
        plan.unplanned_bytes += rounded;
        if (life.needs_fill) plan.fills.push_back({life.first_step, s});
      }
    }
    if (life.reason != PlanReason::kPlanned) {
      plan.not_planned.push_back(
          {s, life.storage->name(), life.storage->size_bytes(), life.reason, life.detail});
    }
  }
  const Grouping grouping =
      GroupStorages(schedule, order, *liveness, options.alignment_bytes, options.in_place);
  plan.taken_over = grouping.taken_over;
  for (const auto& [key, members] : ByArenaKey(grouping.groups)) {
    if (options.mode == PlanMode::kRemap) {
      Remap(schedule, order, *liveness, grouping.groups, key, members, plan);
    } else if (absl::Status status =
                   PackArena(schedule, options, *liveness, grouping.groups, key, members, plan);
               !status.ok()) {
      return status;
    }
  }
  std::sort(plan.placements.begin(), plan.placements.end(),
            [](const Placement& a, const Placement& b) { return a.storage < b.storage; });
  for (const PlanArena& arena : plan.arenas) plan.arena_bytes += arena.size_bytes;
  plan.optimal = plan.arena_bytes == plan.lower_bound_bytes;
  MarkExclusive(plan);
  if (schedule.order() == OrderKind::kTotal) plan.reuse_edges = ReuseEdges(plan, *liveness);
  if (absl::Status status = internal::ValidateAgainst(plan, schedule, order, *liveness);
      !status.ok())
    return status;
  Notify({.kind = Event::Kind::kPlan, .name = plan.name, .size_bytes = plan.arena_bytes});
  return plan;
}

// ----------------------------------------------------------------------------------------------
// placement

absl::StatusOr<PlacedPlan> PlacePlan(const Plan& plan, const Schedule& schedule) {
  if (absl::Status status = ValidatePlan(plan, schedule); !status.ok()) return status;
  return internal::PlaceUnchecked(plan, schedule);
}

absl::StatusOr<PlacedPlan> internal::PlaceUnchecked(const Plan& plan, const Schedule& schedule) {
  const StepOrder order(schedule);
  absl::StatusOr<Liveness> liveness = AnalyzeLiveness(schedule, order, {.fill_zeroed = true});
  if (!liveness.ok()) return liveness.status();
  PlacedPlan placed;
  placed.arenas.resize(plan.arenas.size());
  absl::Status status;
  for (const Placement& p : plan.placements) {
    if (p.storage >= liveness->storages.size() || p.arena >= plan.arenas.size()) {
      status = absl::FailedPreconditionError(
          absl::StrCat("the plan places storage ", p.storage, " in arena ", p.arena,
                       ", which the schedule or the plan does not have"));
      break;
    }
    Storage& storage = *liveness->storages[p.storage].storage;
    Buffer& arena = placed.arenas[p.arena];
    if (arena.is_null()) {
      const PlanArena& wanted = plan.arenas[p.arena];
      absl::StatusOr<Buffer> made = Buffer::Create(
          storage.allocator(), DType::kUInt8, Shape::Vector(wanted.size_bytes),
          {.name = absl::StrCat("arena ", p.arena, plan.name.empty() ? "" : " of ", plan.name),
           .alignment_bytes = wanted.alignment_bytes,
           .immediate = true});
      if (!made.ok()) {
        status = made.status();
        break;
      }
      arena = *std::move(made);
    }
    status = storage.Place(*arena.storage(), p.offset_bytes, p.exclusive);
    if (!status.ok()) break;
    placed.storages.emplace_back(&storage);
  }
  if (status.ok()) {
    for (const PlanFill& fill : plan.fills) {
      placed.fills.push_back(
          {fill.step, Buffer::OfStorage(*liveness->storages[fill.storage].storage)});
    }
    std::stable_sort(placed.fills.begin(), placed.fills.end(),
                     [](const PlacedFill& a, const PlacedFill& b) { return a.step < b.step; });
    return placed;
  }
  UnplacePlan(std::move(placed))
      .IgnoreError();  // what was placed a moment ago can't be sealed or mapped
  return status;
}

absl::Status UnplacePlan(PlacedPlan placed) {
  absl::Status first;
  for (const StorageKeepAlive& storage : placed.storages) first.Update(storage->Unplace());
  return first;
}

}  // namespace tenure

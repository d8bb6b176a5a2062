#include "tenure/planner/validate_plan.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/checked.h"
#include "tenure/planner/groups.h"
#include "tenure/planner/packing/validator.h"
#include "tenure/planner/reuse_edges.h"

namespace tenure {
namespace {

template <typename... Why>
absl::Status Wrong(const Why&... why) {
  return absl::InternalError(absl::StrCat("the plan is wrong: ", why...));
}

std::string Named(const Liveness& liveness, uint32_t s) {
  const std::string& name = liveness.storages[s].storage->name();
  return name.empty() ? absl::StrCat("storage ", s)
                      : absl::StrCat("storage ", s, " ('", name, "')");
}

absl::Status CheckPlacement(const Plan& plan, const Liveness& liveness, const Placement& p) {
  if (p.storage >= liveness.storages.size() || p.arena >= plan.arenas.size()) {
    return Wrong("it places storage ", p.storage, " in arena ", p.arena, "; there are ",
                 liveness.storages.size(), " and ", plan.arenas.size());
  }
  const StorageLife& life = liveness.storages[p.storage];
  const PlanArena& arena = plan.arenas[p.arena];
  const std::string name = Named(liveness, p.storage);
  if (life.reason != PlanReason::kPlanned) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the plan places ", name, ", which may not be planned now: ", PlanReasonName(life.reason),
        life.detail.empty() ? "" : ", ", life.detail, "; plan again"));
  }
  if (p.first_step != life.first_step || p.last_step != life.last_step)
    return Wrong(name, " lives at other steps");
  if (p.size_bytes < life.storage->size_bytes()) return Wrong(name, " got too few bytes");
  if (!WindowFits(p.offset_bytes, p.size_bytes, arena.size_bytes))
    return Wrong(name, " sticks out of its arena");
  const uint64_t alignment = std::max(plan.alignment_bytes, life.storage->alignment_bytes());
  if (p.offset_bytes % alignment != 0 || arena.alignment_bytes % alignment != 0)
    return Wrong(name, " is not aligned");
  if (arena.space != life.storage->allocator().space() || arena.lane != life.lane) {
    return Wrong(name, " is in an arena of another space or lane");
  }
  return absl::OkStatus();
}

// Whether two placed storages that share bytes have lives apart: by the validator of packings.
absl::Status CheckOverlaps(const Plan& plan, const Schedule& schedule, const Liveness& liveness,
                           const std::vector<const Placement*>& placement_of) {
  // Storages that take each other over are one item: `item_of` leads from each to the first of its
  // chain.
  std::vector<uint32_t> head(liveness.storages.size());
  for (uint32_t s = 0; s < head.size(); ++s) head[s] = s;
  std::vector<TakenOver> taken = plan.taken_over;
  std::sort(taken.begin(), taken.end(),
            [](const TakenOver& a, const TakenOver& b) { return a.step < b.step; });
  for (const TakenOver& t : taken) head[t.output] = head[t.input];

  packing::Problem problem;
  packing::Packing packing;
  packing.outcome = packing::Outcome::kFeasible;
  std::vector<uint32_t> item_of(head.size(), ~0u);
  const bool dependencies = schedule.order() == OrderKind::kDependencies;
  for (uint32_t s = 0; s < head.size(); ++s) {
    const Placement* p = placement_of[s];
    if (p == nullptr) continue;
    uint32_t& item = item_of[head[s]];
    if (item == ~0u) {
      item = static_cast<uint32_t>(problem.items.size());
      problem.items.push_back(
          {.first = p->first_step, .last = packing::Time{p->last_step} + 1, .size = p->size_bytes});
      packing.offsets.push_back(p->offset_bytes);
      packing.arena_of.push_back(p->arena);
    } else {
      packing::Item& i = problem.items[item];
      if (packing.offsets[item] != p->offset_bytes || packing.arena_of[item] != p->arena ||
          i.size != p->size_bytes) {
        return Wrong(Named(liveness, s), " takes bytes over, but lies elsewhere");
      }
      i.first = std::min(i.first, packing::Time{p->first_step});
      i.last = std::max(i.last, packing::Time{p->last_step} + 1);
    }
    if (!dependencies) continue;
    for (const Touch& touch : liveness.storages[s].touches)
      problem.order.uses.push_back({item, touch.step});
  }
  if (problem.items.empty()) return absl::OkStatus();
  if (dependencies) {
    problem.order.steps = static_cast<uint32_t>(schedule.steps().size());
    for (uint32_t step = 0; step < schedule.steps().size(); ++step) {
      for (uint32_t before : schedule.steps()[step].after)
        problem.order.edges.push_back({before, step});
    }
    std::sort(problem.order.uses.begin(), problem.order.uses.end(),
              [](const auto& a, const auto& b) {
                return a.item != b.item ? a.item < b.item : a.step < b.step;
              });
    problem.order.uses.erase(std::unique(problem.order.uses.begin(), problem.order.uses.end()),
                             problem.order.uses.end());
  }
  for (const PlanArena& arena : plan.arenas) problem.arenas.push_back({.limit = arena.size_bytes});
  packing::UpdateHeights(problem, packing);
  return packing::Validate(problem, packing);
}

}  // namespace

absl::Status internal::ValidateAgainst(const Plan& plan, const Schedule& schedule,
                                       const StepOrder& order, const Liveness& liveness) {
  if (plan.fingerprint != Fingerprint(schedule)) {
    return absl::FailedPreconditionError(
        absl::StrCat("the plan '", plan.name, "' was made for another schedule than '",
                     schedule.name(), "' (fingerprints differ); plan again"));
  }
  if (!IsPowerOfTwo(plan.alignment_bytes)) return Wrong("alignment ", plan.alignment_bytes);
  std::vector<const Placement*> placement_of(liveness.storages.size(), nullptr);
  std::vector<Allocator*> allocator_of(plan.arenas.size(), nullptr);
  for (const Placement& p : plan.placements) {
    if (absl::Status status = CheckPlacement(plan, liveness, p); !status.ok()) return status;
    if (std::exchange(placement_of[p.storage], &p) != nullptr)
      return Wrong(Named(liveness, p.storage), " is placed twice");
    Allocator*& allocator = allocator_of[p.arena];
    Allocator* const own = &liveness.storages[p.storage].storage->allocator();
    if (allocator != nullptr && allocator != own)
      return Wrong("arena ", p.arena, " mixes allocators");
    allocator = own;
  }
  std::vector<bool> filled(liveness.storages.size(), false);
  for (const PlanFill& fill : plan.fills) {
    if (fill.storage >= filled.size() || placement_of[fill.storage] == nullptr ||
        fill.step != liveness.storages[fill.storage].first_step) {
      return Wrong("it fills storage ", fill.storage, " at step ", fill.step);
    }
    filled[fill.storage] = true;
  }
  for (uint32_t s = 0; s < filled.size(); ++s) {
    if (placement_of[s] != nullptr && liveness.storages[s].needs_fill && !filled[s]) {
      return Wrong(Named(liveness, s), " is promised as zeros, but nothing fills it");
    }
  }
  std::vector<bool> takes(filled.size(), false), gives(filled.size(), false);
  for (const TakenOver& taken : plan.taken_over) {
    if (absl::Status status = CheckTakeOver(schedule, order, liveness, taken); !status.ok())
      return status;
    if (takes[taken.output] || gives[taken.input])
      return Wrong("bytes are taken over twice at step ", taken.step);
    takes[taken.output] = gives[taken.input] = true;
  }
  uint64_t bytes = 0;
  for (const PlanArena& arena : plan.arenas) {
    if (!CheckedAdd(bytes, arena.size_bytes, &bytes)) return Wrong("the arenas' sizes wrap");
    if (!IsPowerOfTwo(arena.alignment_bytes))
      return Wrong("an arena's alignment is no power of two");
  }
  if (bytes != plan.arena_bytes || plan.lower_bound_bytes > bytes)
    return Wrong("its sums are not those of its arenas");
  if (absl::Status status = CheckOverlaps(plan, schedule, liveness, placement_of); !status.ok())
    return status;
  for (const Placement& p : plan.placements) {
    if (!p.exclusive) continue;
    for (const Placement& q : plan.placements) {
      if (p.arena == q.arena && p.storage != q.storage &&
          p.offset_bytes < q.offset_bytes + q.size_bytes &&
          q.offset_bytes < p.offset_bytes + p.size_bytes) {
        return Wrong(Named(liveness, p.storage),
                     " is called exclusive, but shares bytes with storage ", q.storage);
      }
    }
  }
  if (schedule.order() == OrderKind::kTotal && ReuseEdges(plan, liveness) != plan.reuse_edges) {
    return Wrong("its reuse edges are not those of its placements");
  }
  return absl::OkStatus();
}

absl::Status ValidatePlan(const Plan& plan, const Schedule& schedule) {
  const StepOrder order(schedule);
  absl::StatusOr<Liveness> liveness = AnalyzeLiveness(schedule, order, {.fill_zeroed = true});
  if (!liveness.ok()) return liveness.status();
  return internal::ValidateAgainst(plan, schedule, order, *liveness);
}

}  // namespace tenure

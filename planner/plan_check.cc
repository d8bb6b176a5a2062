#include "tenure/planner/plan_check.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "tenure/planner/stable_hash.h"

namespace tenure::internal {
namespace {

// Covers what the validator looks at, which is all but the labels (validate_plan.h).
uint64_t HashPlan(const Plan& plan) {
  StableHash hash;
  hash.Add(plan.fingerprint);
  hash.Add(static_cast<uint64_t>(plan.mode));
  hash.Add(plan.alignment_bytes);
  hash.Add(plan.arenas.size());
  for (const PlanArena& arena : plan.arenas) {
    hash.Add(arena.space.ToString());
    hash.Add(arena.queue);
    hash.Add(arena.size_bytes);
    hash.Add(arena.alignment_bytes);
    hash.Add(arena.memory_of ? 1 + uint64_t{*arena.memory_of} : 0);
  }
  hash.Add(plan.placements.size());
  for (const Placement& p : plan.placements) {
    hash.Add(p.storage);
    hash.Add(p.arena);
    hash.Add(p.offset_bytes);
    hash.Add(p.size_bytes);
    hash.Add(p.first_step);
    hash.Add(p.last_step);
    hash.Add(p.exclusive);
  }
  hash.Add(plan.not_planned.size());
  for (const NotPlanned& n : plan.not_planned) {
    hash.Add(n.storage);
    hash.Add(n.size_bytes);
    hash.Add(n.reason == PlanReason::kPlanned);
  }
  hash.Add(plan.reuse_edges.size());
  for (const ReuseEdge& edge : plan.reuse_edges) {
    hash.Add(edge.before);
    hash.Add(edge.after);
  }
  hash.Add(plan.fills.size());
  for (const PlanFill& fill : plan.fills) {
    hash.Add(fill.step);
    hash.Add(fill.storage);
  }
  hash.Add(plan.in_place.size());
  for (const InPlaceWrite& write : plan.in_place) {
    hash.Add(write.step);
    hash.Add(write.input);
    hash.Add(write.output);
  }
  hash.Add(plan.unplanned_bytes);
  hash.Add(plan.arena_bytes);
  hash.Add(plan.lower_bound_bytes);
  hash.Add(plan.optimal);
  return hash.value();
}

// Whether the storage is still in a state in which the plan is right.
bool StillFits(const PlanCheck::CheckedStorage& checked) {
  const Storage& storage = *checked.storage;
  // A storage that had bytes could be read before it was written. It must not have lost them.
  if (checked.allocated && !storage.is_allocated()) return false;
  if (!checked.placed) return true;
  // Memory that was allocated meanwhile may be read-only, so the lives are computed again.
  return checked.allocated == storage.is_allocated() && !storage.sealed() &&
         (checked.any_handles || storage.handle_count() <= checked.handles);
}

}  // namespace

void RememberCheck(const Schedule& schedule, const Liveness& liveness, Plan& plan) {
  auto check = std::make_shared<PlanCheck>();
  check->schedule = schedule.state();
  check->plan_hash = HashPlan(plan);
  check->storages.reserve(liveness.storages.size());
  for (const StorageLife& life : liveness.storages) {
    check->storages.push_back({.storage = life.storage,
                               .handles = life.handles,
                               .any_handles = life.any_handles,
                               .allocated = life.storage->is_allocated()});
  }
  for (const Placement& p : plan.placements) check->storages[p.storage].placed = true;
  plan.check.Set(std::move(check));
}

const PlanCheck* FindCheck(const Plan& plan, const Schedule& schedule) {
  const PlanCheck* check = plan.check.get();
  if (check == nullptr || check->schedule != schedule.state()) return nullptr;
  if (!std::all_of(check->storages.begin(), check->storages.end(), StillFits)) return nullptr;
  return HashPlan(plan) == check->plan_hash ? check : nullptr;
}

}  // namespace tenure::internal

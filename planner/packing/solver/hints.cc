#include "tenure/planner/packing/solver/hints.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "tenure/planner/packing/solver/first_fit.h"
#include "tenure/planner/packing/solver/orders.h"
#include "tenure/planner/packing/solver/rigid_groups.h"

namespace tenure::packing {
namespace {

// The number of constructions that try to honour more hints.
constexpr int kAttempts = 8;

// Returns the free groups that have a hint, the largest first: they are the hardest to move
// elsewhere.
std::vector<uint32_t> Hinted(const RigidGroups& groups) {
  std::vector<uint32_t> hinted;
  for (uint32_t b = 0; b < groups.groups.size(); ++b) {
    const RigidGroup& group = groups.groups[b];
    if (group.hint != kNoOffset && group.fixed == kNoOffset) hinted.push_back(b);
  }
  std::sort(hinted.begin(), hinted.end(), [&](uint32_t a, uint32_t b) {
    const uint64_t x = groups.groups[a].height, y = groups.groups[b].height;
    return x != y ? x > y : a < b;
  });
  return hinted;
}

size_t Honoured(const RigidGroups& groups, const std::vector<uint64_t>& offsets) {
  size_t count = 0;
  for (uint32_t b = 0; b < groups.groups.size(); ++b) count += offsets[b] == groups.groups[b].hint;
  return count;
}

void Write(const Problem& problem, const RigidGroups& groups, const PartialPacking& partial,
           Packing& packing) {
  const bool several = ArenaCount(problem) > 1;
  packing.offsets.resize(problem.items.size());
  packing.arena_of.resize(several ? problem.items.size() : 0);
  for (uint32_t b = 0; b < groups.groups.size(); ++b) {
    const RigidGroup& group = groups.groups[b];
    for (uint32_t m = group.first_member; m < group.end_member; ++m) {
      packing.offsets[groups.members[m].item] = partial.offsets[b] + groups.members[m].begin;
      if (several) packing.arena_of[groups.members[m].item] = partial.arenas[b];
    }
  }
  UpdateHeights(problem, packing);
}

// Places the fixed groups, then the hinted ones that fit and end at or below `limit`, then the rest
// of the order.
bool PackAround(const RigidGroups& groups, const std::vector<uint32_t>& hinted,
                const std::vector<uint32_t>& order, uint64_t limit, uint64_t capacity,
                uint32_t arenas, Budget& budget, FirstFit& fit) {
  fit.Clear();
  if (!fit.PlaceFixed(capacity, budget)) return false;
  for (uint32_t b : hinted) {
    const RigidGroup& group = groups.groups[b];
    if (group.height > limit || group.hint > limit - group.height) continue;
    for (uint32_t a = 0; a < arenas; ++a) {
      if (group.arena != kAnyArena && group.arena != a) continue;
      if (!fit.FitsAt(b, a, group.hint)) continue;
      fit.Place(b, a, group.hint);
      break;
    }
    if (!budget.Spend(fit.cost())) return false;
  }
  for (uint32_t b : order) {
    if (fit.partial().offsets[b] != kNoOffset) continue;
    if (!budget.Spend(fit.cost()) || !fit.PlaceLowest(b, capacity)) return false;
  }
  return fit.partial().height <= capacity;
}

// Moves hinted groups to their hints where that is possible within their arena's height. It repeats
// that until nothing moves, since one item may have to leave a place before another can take it.
void MoveToHints(const RigidGroups& groups, const std::vector<uint32_t>& hinted,
                 const std::vector<uint64_t>& heights, Budget& steps, FirstFit& fit) {
  for (bool moved = true; moved;) {
    moved = false;
    for (uint32_t b : hinted) {
      const RigidGroup& group = groups.groups[b];
      const uint64_t at = fit.partial().offsets[b];
      const uint32_t arena = fit.partial().arenas[b];
      if (at == group.hint || !steps.Spend(fit.cost())) continue;
      if (group.height > heights[arena] || group.hint > heights[arena] - group.height) continue;
      fit.Remove(b);
      const bool fits = fit.FitsAt(b, arena, group.hint);
      fit.Place(b, arena, fits ? group.hint : at);
      moved |= fits;
    }
  }
}

}  // namespace

bool HasHints(const Problem& problem) {
  return std::any_of(problem.items.begin(), problem.items.end(),
                     [](const Item& item) { return item.hint != kNoOffset; });
}

void PreferHints(Task& task, Packing& packing) {
  if (!task.budget.Leaves(2 * ReadyTime(task.problem))) return task.budget.Stop();
  const RigidGroups groups = MakeRigidGroups(task.problem, Detail::kFull, &task.budget);
  if (task.budget.Interrupted()) return;
  const std::vector<uint32_t> hinted = Hinted(groups);
  const auto n = static_cast<uint32_t>(groups.groups.size());
  std::vector<uint32_t> arenas(n), order(n);
  std::vector<uint64_t> before(n);
  for (uint32_t b = 0; b < n; ++b) {
    const Member& member = groups.members[groups.groups[b].first_member];
    before[b] = packing.offsets[member.item] - member.begin;
    arenas[b] = packing.arena(member.item);
  }
  FirstFit fit(task.problem, groups, before);
  for (uint32_t b = 0; b < n; ++b) {
    if (!task.budget.Spend(2)) return;
    fit.Place(b, arenas[b], before[b]);
  }
  Budget steps = task.budget.WithSteps(FirstFitSteps(groups, task.options.effort));
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return before[a] != before[b] ? before[a] < before[b] : a < b;
  });
  MoveToHints(groups, hinted, packing.heights, steps, fit);
  const std::vector<uint64_t> moved = fit.partial().offsets;
  const size_t honoured = Honoured(groups, moved);
  if (honoured < hinted.size() && ArenaCount(task.problem) == 1 && !task.budget.Interrupted() &&
      (n <= kFewGroups || StepsOfOneFit(groups) <= steps.steps_left())) {
    // Tries it the other way: places the hinted groups first and the rest around them, with no
    // greater height. If a group then fits nowhere, the hints of groups that live with it are given
    // up.
    std::vector<uint32_t> wanted = hinted;
    for (int attempt = 0; attempt < kAttempts && !wanted.empty(); ++attempt) {
      if (PackAround(groups, wanted, order, packing.height, packing.height, 1, steps, fit)) {
        if (Honoured(groups, fit.partial().offsets) <= honoured) break;
        MoveToHints(groups, hinted, packing.heights, steps, fit);
        Write(task.problem, groups, fit.partial(), packing);
        return;
      }
      if (fit.stuck() == ~uint32_t{0}) break;  // the budget ended
      const SectionRange bounding_box = groups.groups[fit.stuck()].bounding_box;
      std::erase_if(wanted, [&](uint32_t b) {
        const SectionRange mine = groups.groups[b].bounding_box;
        return mine.begin < bounding_box.end && bounding_box.begin < mine.end;
      });
    }
  }
  PartialPacking partial;
  partial.offsets = moved;
  partial.arenas = arenas;
  Write(task.problem, groups, partial, packing);
}

void KeepHints(Task& task, Packing& packing) {
  // If this fails, there must be time left for the cheapest packing.
  const absl::Duration ready = ReadyTime(task.problem);
  if (!task.budget.Leaves(3 * ready)) return;
  Budget budget = task.budget.Earlier(ready);
  const RigidGroups groups = MakeRigidGroups(task.problem, Detail::kFull, &budget);
  if (!groups.contradiction.empty() || budget.Interrupted()) return;
  const std::vector<uint32_t> hinted = Hinted(groups);
  std::vector<uint64_t> hints(groups.groups.size(), kNoOffset);
  for (uint32_t b : hinted) hints[b] = groups.groups[b].hint;
  FirstFit fit(task.problem, groups, std::move(hints));
  Budget steps = budget.WithSteps(FirstFitSteps(groups, task.options.effort));
  Orders orders(groups, budget);
  auto keep = [&] {
    Write(task.problem, groups, fit.partial(), packing);
    packing.statistics.winner = "kept-hints";
    return fit.partial().height;
  };
  uint64_t best = kUnlimited, limit = task.limit;
  // If the hints do not leave enough room within the capacity, the highest ones are given up.
  for (int attempt = 0; attempt < 4 && best == kUnlimited; ++attempt, limit -= limit / 4) {
    for (int which = 0; which < Orders::kCount; ++which) {
      if (budget.Interrupted()) return;
      const Order order = orders.Make(which);
      const uint64_t capacity = best == kUnlimited ? task.limit : best - 1;
      if (PackAround(groups, hinted, order.groups, limit, capacity, ArenaCount(task.problem), steps,
                     fit)) {
        best = keep();
      } else if (steps.steps_left() == 0 && best == kUnlimited &&
                 fit.PlaceBottomLeft(order.groups, capacity, /*careful=*/0, budget)) {
        best = keep();
      }
      ++packing.statistics.constructions;
      if (best == task.lower_bound || steps.steps_left() == 0) return;
    }
  }
}

}  // namespace tenure::packing

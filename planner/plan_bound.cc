#include "tenure/planner/plan_bound.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "tenure/planner/packing/lower_bound.h"
#include "tenure/planner/packing/problem.h"

namespace tenure::internal {

uint64_t BoundOfLives(const Plan& plan, const Liveness& liveness) {
  constexpr uint32_t kNone = ~uint32_t{0};
  const bool remap = plan.mode == PlanMode::kRemap;
  std::vector<uint32_t> next(liveness.storages.size(), kNone);  // written in place of this one
  std::vector<bool> is_output(liveness.storages.size(), false);
  for (const InPlaceWrite& write : plan.in_place) {
    next[write.input] = write.output;
    is_output[write.output] = true;
  }
  // Storages that may share bytes. In mode remap those are of one size, and each slot is an arena
  // of its own.
  using Sharers = std::tuple<const Allocator*, uint32_t, uint64_t>;  // allocator, queue, size
  std::map<Sharers, packing::Problem> problems;
  std::map<Sharers, uint64_t> own_bytes;  // of storages in whose own memory others lie
  for (const Placement& p : plan.placements) {
    const StorageLife& life = liveness.storages[p.storage];
    if (plan.arenas[p.arena].memory_of == p.storage) {
      own_bytes[{&life.storage->allocator(), life.queue, 0}] += p.size_bytes;
    }
    if (is_output[p.storage]) continue;
    const StorageLife& head = liveness.storages[p.storage];
    packing::Item item{
        .first = head.first_step, .last = packing::Time{head.last_step} + 1, .size = p.size_bytes};
    for (uint32_t s = p.storage; s != kNone; s = next[s]) {
      item.last = std::max(item.last, packing::Time{liveness.storages[s].last_step} + 1);
    }
    problems[{&head.storage->allocator(), head.queue, remap ? p.size_bytes : 0}].items.push_back(
        item);
  }
  uint64_t bound = 0;
  for (const auto& [sharers, problem] : problems) {
    bound += std::max(own_bytes[sharers], packing::LowerBound(problem));
  }
  return bound;
}

}  // namespace tenure::internal

#include "tenure/planner/reuse_edges.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <tuple>

namespace tenure {
namespace {

constexpr size_t kManyTouches = 64;

bool Hazard(const Touch& a, const Touch& b) {
  return a.step != b.step && (a.access == Access::kWrite || b.access == Access::kWrite) &&
         a.begin < b.end && b.begin < a.end;
}

// Steps of a storage that no earlier (`first`) or no later step of it is ordered with by a hazard:
// the others start after, or end before, one of these.
std::vector<uint32_t> EndSteps(const StorageLife& life, bool first) {
  std::vector<uint32_t> steps;
  const auto& touches = life.touches;
  for (const Touch& touch : touches) {
    bool end = true;
    if (touches.size() <= kManyTouches) {
      for (const Touch& other : touches) {
        end = end && !(Hazard(touch, other) &&
                       (first ? other.step < touch.step : other.step > touch.step));
      }
    }
    if (end && (steps.empty() || steps.back() != touch.step)) steps.push_back(touch.step);
  }
  return steps;
}

}  // namespace

std::vector<ReuseEdge> ReuseEdges(const Plan& plan, const Liveness& liveness) {
  std::vector<ReuseEdge> edges;
  auto connect = [&edges](const std::vector<uint32_t>& before, const std::vector<uint32_t>& after) {
    for (uint32_t b : before) {
      for (uint32_t a : after) {
        if (b < a) edges.push_back({b, a});
      }
    }
  };
  std::vector<const Placement*> by_time;
  for (const Placement& p : plan.placements) {
    if (p.size_bytes > 0) by_time.push_back(&p);
  }
  std::sort(by_time.begin(), by_time.end(), [](const Placement* a, const Placement* b) {
    return std::tie(a->first_step, a->last_step, a->storage) <
           std::tie(b->first_step, b->last_step, b->storage);
  });
  // The latest tenant of each byte range of each arena.
  struct Tenancy {
    uint64_t end;
    uint32_t storage;
  };
  std::vector<std::map<uint64_t, Tenancy>> tenants(plan.arenas.size());
  for (const Placement* p : by_time) {
    auto& map = tenants[p->arena];
    const uint64_t begin = p->offset_bytes, end = begin + p->size_bytes;
    auto it = map.upper_bound(begin);
    if (it != map.begin() && std::prev(it)->second.end > begin) --it;
    std::vector<uint32_t> displaced;
    while (it != map.end() && it->first < end) {
      const uint64_t old_begin = it->first;
      const Tenancy old = it->second;
      displaced.push_back(old.storage);
      it = map.erase(it);
      if (old_begin < begin) map[old_begin] = {begin, old.storage};
      if (old.end > end) map[end] = old;
    }
    map[begin] = {end, p->storage};
    std::sort(displaced.begin(), displaced.end());
    displaced.erase(std::unique(displaced.begin(), displaced.end()), displaced.end());
    if (displaced.empty()) continue;
    const std::vector<uint32_t> after = EndSteps(liveness.storages[p->storage], true);
    for (uint32_t storage : displaced) connect(EndSteps(liveness.storages[storage], false), after);
  }
  // A fill writes the whole storage at its first step: what touches other bytes of it comes later.
  for (const PlanFill& fill : plan.fills) {
    connect({fill.step}, EndSteps(liveness.storages[fill.storage], true));
  }
  std::sort(edges.begin(), edges.end());
  edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
  return edges;
}

}  // namespace tenure

#include "tenure/planner/packing/packing.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace tenure::packing {

std::string_view OutcomeName(Outcome outcome) {
  switch (outcome) {
    case Outcome::kNone:
      return "none";
    case Outcome::kFeasible:
      return "feasible";
    case Outcome::kOptimal:
      return "optimal";
    case Outcome::kInfeasible:
      return "infeasible";
  }
  return "unknown";
}

void UpdateHeights(const Problem& problem, Packing& packing) {
  packing.heights.assign(ArenaCount(problem), 0);
  const size_t n = std::min(packing.offsets.size(), problem.items.size());
  for (size_t i = 0; i < n; ++i) {
    const uint64_t size = problem.items[i].size, offset = packing.offsets[i];
    if (size == 0) continue;  // occupies nothing, wherever it lies
    // A packing from a file may name arenas and offsets that do not exist; the validator reports
    // that.
    const size_t arena = packing.arena_of.empty()      ? 0
                         : i < packing.arena_of.size() ? packing.arena_of[i]
                                                       : ~size_t{0};
    if (arena >= packing.heights.size() || offset > kNoOffset - size) continue;
    uint64_t& height = packing.heights[arena];
    height = std::max(height, offset + size);
  }
  packing.height = 0;
  for (uint64_t height : packing.heights) packing.height += height;
}

}  // namespace tenure::packing

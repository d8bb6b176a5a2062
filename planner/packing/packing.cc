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
  for (size_t i = 0; i < packing.offsets.size(); ++i) {
    const uint64_t size = problem.items[i].size;
    if (size == 0) continue;  // occupies nothing, wherever it lies
    uint64_t& height = packing.heights[packing.arena(i)];
    height = std::max(height, packing.offsets[i] + size);
  }
  packing.height = 0;
  for (uint64_t height : packing.heights) packing.height += height;
}

}  // namespace tenure::packing

// The edges that a concurrent executor must add because a plan gives the same bytes to several
// storages. Internal to the planner.
//
// Cost: n log n in the placements; a storage with more than 64 touches counts all of them.
// Thread safety: pure function.

#ifndef TENURE_PLANNER_REUSE_EDGES_H_
#define TENURE_PLANNER_REUSE_EDGES_H_

#include <vector>

#include "tenure/planner/liveness.h"
#include "tenure/planner/plan.h"

namespace tenure {

// For a total order. An executor that honours hazards between windows of one storage, and these
// edges, is right.
std::vector<ReuseEdge> ReuseEdges(const Plan& plan, const Liveness& liveness);

}  // namespace tenure

#endif  // TENURE_PLANNER_REUSE_EDGES_H_

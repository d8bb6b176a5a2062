// ReuseEdges: the edges that a concurrent executor must add because a plan gives the same bytes to
// several storages. Internal to the planner.
//
// Within one storage the executor orders conflicting touches by itself. So only those steps of a
// storage need an edge that it does not order before (or after) other steps of the storage:
//
//   h1   W [0,64) at 2    R [0,64) at 5, 6           last steps: 5, 6
//   h2                            W [0,64) at 7      first steps: 7      edges 5 -> 7, 6 -> 7
//
// If a storage has very many such steps, they all wait for the first of them, or the last of them
// waits for all others. So the number of edges is linear in the schedule.
//
// Cost: n log n in the placements and touches. Thread safety: pure function.

#ifndef TENURE_PLANNER_REUSE_EDGES_H_
#define TENURE_PLANNER_REUSE_EDGES_H_

#include <vector>

#include "tenure/planner/liveness.h"
#include "tenure/planner/plan.h"

namespace tenure {

// For a total order. Sorted; every edge leads from an earlier to a later step.
std::vector<ReuseEdge> ReuseEdges(const Plan& plan, const Liveness& liveness);

}  // namespace tenure

#endif  // TENURE_PLANNER_REUSE_EDGES_H_

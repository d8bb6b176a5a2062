// The edges that a concurrent executor must add because a plan gives the same bytes to several
// storages. Internal to the planner.
//
// Among the touches of one storage the executor honours hazards. So of each tenant only those steps
// matter that no hazard puts behind (or before) others of it:
//
//   h1   W [0,64) at 2    R [0,64) at 5, 6           last steps: 5, 6
//   h2                            W [0,64) at 7      first steps: 7      edges 5 -> 7, 6 -> 7
//
// Where a tenant has very many such steps, they all wait for the first of them, or the last waits
// for them all, so that the edges stay linear in the schedule.
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

// The steps of a partial order as a graph, with one legal order of them.
//
//   const StepGraph graph(problem.order);
//   for (uint32_t s : graph.order)               // every step after those that it depends on
//     for (uint32_t next : graph.After(s)) ...
//
// Cost: n log n in the steps, linear in the edges. Thread safety: thread-compatible. Ownership: by
// value. Errors: none; the order must have passed CheckProblem.

#ifndef TENURE_PLANNER_PACKING_STEP_GRAPH_H_
#define TENURE_PLANNER_PACKING_STEP_GRAPH_H_

#include <cstdint>
#include <span>
#include <vector>

#include "tenure/planner/packing/problem.h"

namespace tenure::packing {

struct StepGraph {
  explicit StepGraph(const PartialOrder& order);

  // The steps that directly depend on step s.
  std::span<const uint32_t> After(uint32_t s) const {
    return {to.data() + start[s], start[s + 1] - start[s]};
  }
  // The position of each step in `order`.
  std::vector<uint32_t> Positions() const;

  std::vector<uint32_t> start, to;  // successors of each step
  // A legal order of the steps. Of the steps that are possible next, it takes the one with the
  // lowest number.
  std::vector<uint32_t> order;
};

// The steps that use each item, grouped by item: those of item i are at [start[i], start[i + 1]).
struct ItemUses {
  explicit ItemUses(const Problem& problem);

  std::vector<uint32_t> start, steps;
};

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_STEP_GRAPH_H_

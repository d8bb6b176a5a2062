// Lower bounds on the height of any packing.
//
// Why: a packing that meets a bound is proven optimal, and the search stops at once.
//
//   Peak peak = FindPeak(problem);   // peak.bytes during [peak.first, peak.last)
//
// Three bounds are combined:
//   the peak       the largest sum of sizes of the items that live (and have no gap) at one
//                  moment; each size is rounded up by the padding that alignment surely costs;
//   each item      its size, since it lies in its arena as a whole, with gaps or without;
//   fixed items    the end of the highest fixed item.
// With a partial order, the peak is taken over the moments of one legal order of the steps. Items
// that live at once in some legal order conflict pairwise.
//
// Cost: O(n log n), or linear time when times are dense; linear memory. Thread safety: safe to call
// from any thread. Ownership: borrows the problem for the call. Errors: none; the problem must have
// passed CheckProblem.

#ifndef TENURE_PLANNER_PACKING_LOWER_BOUND_H_
#define TENURE_PLANNER_PACKING_LOWER_BOUND_H_

#include <cstdint>
#include <vector>

#include "tenure/planner/packing/problem.h"

namespace tenure::packing {

// The moment at which most bytes are needed.
struct Peak {
  uint64_t bytes = 0;
  Time first = 0;  // it lasts [first, last); positions in a legal order if the order is partial
  Time last = 0;
};

Peak FindPeak(const Problem& problem);

// Returns the items that hold bytes at the peak, largest first.
std::vector<uint32_t> ItemsAt(const Problem& problem, const Peak& peak);

// Returns the best bound that is known without search. No packing has a lower height (the sum over
// all arenas).
uint64_t LowerBound(const Problem& problem);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_LOWER_BOUND_H_

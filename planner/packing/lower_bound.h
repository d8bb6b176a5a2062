// Lower bounds on the height of any packing.
//
// Why: a packing that meets a bound is proven optimal, and the search stops at once.
//
//   Peak peak = FindPeak(problem);   // peak.bytes during [peak.first, peak.last)
//
// Three bounds are combined:
//   the peak       the largest sum of sizes, each rounded up to what alignment costs it for
//                  certain, of the items that live (and do not gap) at one moment;
//   each item      its size: it lies in its arena whole, gaps or not;
//   fixed items    the end of the highest fixed item.
// With a partial order the peak is taken over moments of one legal order of the steps: items that
// live at once in some legal order conflict pairwise.
//
// Cost: O(n log n), linear memory; linear time when times are dense.
// Thread safety: safe to call from any thread. Ownership: borrows the problem for the call. Errors:
// none; the problem must have passed CheckProblem.

#ifndef TENURE_PLANNER_PACKING_LOWER_BOUND_H_
#define TENURE_PLANNER_PACKING_LOWER_BOUND_H_

#include <cstdint>
#include <vector>

#include "tenure/planner/packing/problem.h"

namespace tenure::packing {

// The moment at which most bytes are needed.
struct Peak {
  uint64_t bytes = 0;
  Time first = 0;  // it lasts [first, last); with a partial order: positions in a legal order
  Time last = 0;
};

Peak FindPeak(const Problem& problem);

// The items that hold bytes at the peak, largest first.
std::vector<uint32_t> ItemsAt(const Problem& problem, const Peak& peak);

// The best bound known without search: never above the height of any packing (the sum over arenas).
uint64_t LowerBound(const Problem& problem);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_LOWER_BOUND_H_

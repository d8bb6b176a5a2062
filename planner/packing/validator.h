// The independent validator of packings. It shares no code with the solvers but remainders and the
// sorting of numbers, and it checks the result of the sorting.
//
// Why: every plan is checked before it is returned, release builds included, because two buffers
// that overlap corrupt data silently. The validator checks every feature of the problem: bounds,
// alignment, fixed offsets, gaps, arenas with their limits and bindings, adjacency, partial order
// and capacity. It also checks that height, heights, outcome and lower bound agree with the
// offsets.
//
//   absl::Status status = Validate(problem, packing);
//   // "items 3 and 17 overlap: both hold bytes [4096, 8192) of arena 0 at time 12"
//
// How: it visits items in the order of their offsets, and keeps for each moment the highest byte so
// far, called the floor. An item that starts below the floor somewhere in its life overlaps an item
// beneath it.
//
// Cost: O(n log n) time, about 0.3 s for a million items; linear memory. With a partial order, time
// is proportional to the pairs whose addresses overlap; validate_order.h says more. Thread
// safety: safe to call from any thread. Ownership: borrows both for the call. Errors:
// InvalidArgument if the problem is malformed; Internal if the packing is wrong. Both name the
// first entry at fault.

#ifndef TENURE_PLANNER_PACKING_VALIDATOR_H_
#define TENURE_PLANNER_PACKING_VALIDATOR_H_

#include "absl/status/status.h"
#include "tenure/planner/packing/packing.h"
#include "tenure/planner/packing/problem.h"

namespace tenure::packing {

// Returns OK if the packing has offsets and meets all constraints of the problem. A packing without
// offsets (kNone, kInfeasible) is OK if it has none. `problem` must have passed CheckProblem.
absl::Status Validate(const Problem& problem, const Packing& packing);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_VALIDATOR_H_

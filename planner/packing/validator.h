// The independent judge of packings: shares no code with any solver but the sorting of numbers
// (whose result it looks at) and remainders.
//
// Why: every plan is checked before anyone sees it, release builds included, because two buffers
// that overlap corrupt data silently. It looks at every feature of the problem: bounds, alignment,
// fixed offsets, gaps, arenas with their limits and bindings, adjacency, partial order, capacity;
// and that height, heights, outcome and lower bound agree with the offsets.
//
//   absl::Status status = Validate(problem, packing);
//   // "items 3 and 17 overlap: both hold bytes [4096, 8192) of arena 0 at time 12"
//
// How: items in the order of their offsets; over time a floor is kept of the highest byte so far.
// An item that starts below the floor somewhere in its life overlaps an item beneath it.
//
// Cost: O(n log n) time, about 0.3 s for a million items; linear memory. With a partial order, time
// is proportional to the pairs whose addresses overlap, and memory to items times chains. Thread
// safety: safe to call from any thread. Ownership: borrows both for the call. Errors:
// InvalidArgument if the problem is malformed, Internal if the packing is wrong; both name the
// first entry at fault.

#ifndef TENURE_PLANNER_PACKING_VALIDATOR_H_
#define TENURE_PLANNER_PACKING_VALIDATOR_H_

#include "absl/status/status.h"
#include "tenure/planner/packing/packing.h"
#include "tenure/planner/packing/problem.h"

namespace tenure::packing {

// OK if the packing has offsets and respects the whole problem. A packing without offsets (kNone,
// kInfeasible) is OK if it has none. `problem` must have passed CheckProblem.
absl::Status Validate(const Problem& problem, const Packing& packing);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_VALIDATOR_H_

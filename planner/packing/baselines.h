// What others do, to be printed beside: the planners of other runtimes, as small as they are there.
//
//   TlsfInEventOrder   allocations and frees replayed through a two-level segregated fit (tinygrad,
//   svod) GreedyBySize       largest first, into the smallest gap that fits (TFLite, ExecuTorch)
//
// The first is fast enough to be the net under a deadline: it finishes what the greedy could not.
//
// Cost: n log n for the sort, then constant time an event; GreedyBySize is quadratic. Thread
// safety: safe to call from any thread. Ownership: by value. Errors: none.

#ifndef TENURE_PLANNER_PACKING_BASELINES_H_
#define TENURE_PLANNER_PACKING_BASELINES_H_

#include <cstdint>
#include <vector>

#include "tenure/planner/packing/skyline.h"

namespace tenure::packing {

// Offsets of the rectangles; those of `offsets` that are not kNoOffset already are left alone, and
// what is placed lies at or above `base`.
void TlsfInEventOrder(const std::vector<Rectangle>& rectangles, uint64_t base,
                      std::vector<uint64_t>& offsets);

std::vector<uint64_t> GreedyBySize(const std::vector<Rectangle>& rectangles);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_BASELINES_H_

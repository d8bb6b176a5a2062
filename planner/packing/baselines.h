// The planners of other runtimes, reimplemented in their simplest form, so that their results can
// be printed beside ours.
//
//   TlsfInEventOrder   replays allocations and frees through a two-level segregated fit
//                      (tinygrad, svod)
//   GreedyBySize       places the largest rectangle first, in the smallest gap that fits
//                      (TFLite, ExecuTorch)
//
// TlsfInEventOrder is fast enough to be the fallback when a deadline comes: it places the
// rectangles that the greedy construction didn't get to.
//
// Cost: TlsfInEventOrder takes n log n for a sort, then constant time for each event. GreedyBySize
// is quadratic. Thread safety: safe to call from any thread. Ownership: by value. Errors: none.

#ifndef TENURE_PLANNER_PACKING_BASELINES_H_
#define TENURE_PLANNER_PACKING_BASELINES_H_

#include <cstdint>
#include <vector>

#include "tenure/planner/packing/skyline.h"

namespace tenure::packing {

// Fills in the entries of `offsets` that are kNoOffset and leaves the others alone. All rectangles
// that it places lie at or above `base`.
void TlsfInEventOrder(const std::vector<Rectangle>& rectangles, uint64_t base,
                      std::vector<uint64_t>& offsets);

std::vector<uint64_t> GreedyBySize(const std::vector<Rectangle>& rectangles);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_BASELINES_H_

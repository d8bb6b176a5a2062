// The part of the validator for a partial order: two items may share bytes only if every step that
// uses one of them precedes every step that uses the other.
//
// Cost: time is proportional to the pairs whose addresses overlap; memory is steps and items times
// chains of steps, 256 MiB at most. Where that is not enough, each pair takes a walk through the
// steps between its items. Thread safety: safe to call from any thread. Ownership: borrows for the call. Errors:
// Internal names two items that overlap.

#ifndef TENURE_PLANNER_PACKING_VALIDATE_ORDER_H_
#define TENURE_PLANNER_PACKING_VALIDATE_ORDER_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "tenure/planner/packing/placed_rectangle.h"
#include "tenure/planner/packing/problem.h"

namespace tenure::packing {

// Tests set `most_entries` to see small problems checked without the table.
absl::Status ValidateOrder(const Problem& problem, std::vector<PlacedRectangle> rectangles,
                           uint64_t most_entries = uint64_t{1} << 26);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_VALIDATE_ORDER_H_

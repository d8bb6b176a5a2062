// The part of the validator for lives that are intervals: no two rectangles may hold the same byte
// at the same time.
//
// Cost: O(n log n). Thread safety: safe to call from any thread. Ownership: borrows for the call.
// Errors: Internal names two items that overlap.

#ifndef TENURE_PLANNER_PACKING_VALIDATE_INTERVALS_H_
#define TENURE_PLANNER_PACKING_VALIDATE_INTERVALS_H_

#include <vector>

#include "absl/status/status.h"
#include "tenure/planner/packing/placed_rectangle.h"
#include "tenure/planner/packing/problem.h"

namespace tenure::packing {

absl::Status ValidateIntervals(const std::vector<PlacedRectangle>& rectangles);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_VALIDATE_INTERVALS_H_

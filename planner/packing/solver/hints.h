// Hints: preferred offsets of items.
//
// Why: when a plan is made again after a small change, few items should move. An item that stays in
// its place needs no copy, no new graph capture and no new descriptor.
//
//   prefer   after packing, items move to their hints where the height stays the same
//   keep     items are placed at their hints wherever these agree with each other, and the other
//            items are packed around them
//
// Cost: one or two general constructions (first_fit.h). Thread safety: single-threaded. Ownership:
// borrows. Errors: none.

#ifndef TENURE_PLANNER_PACKING_SOLVER_HINTS_H_
#define TENURE_PLANNER_PACKING_SOLVER_HINTS_H_

#include "tenure/planner/packing/packing.h"
#include "tenure/planner/packing/solver/stages.h"

namespace tenure::packing {

// Returns whether some item has a hint.
bool HasHints(const Problem& problem);

// Changes offsets of a valid packing. The height never grows.
void PreferHints(Task& task, Packing& packing);

// Packs around the hints. Leaves packing.offsets empty if the result does not fit into the
// capacity.
void KeepHints(Task& task, Packing& packing);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_SOLVER_HINTS_H_

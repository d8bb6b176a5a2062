// Hints: places that items would like to have.
//
// Why: a plan that is made anew after a small change should move little, and what lies where it lay
// needs no copy, no new graph capture and no new descriptor.
//
//   prefer   after packing, items move to their hints where the height stays what it is
//   keep     items lie at their hints wherever these agree with each other, and the rest is packed
//   around them
//
// Cost: one or two general constructions (first_fit.h). Thread safety: single-threaded. Ownership:
// borrows. Errors: none.

#ifndef TENURE_PLANNER_PACKING_SOLVER_HINTS_H_
#define TENURE_PLANNER_PACKING_SOLVER_HINTS_H_

#include "tenure/planner/packing/packing.h"
#include "tenure/planner/packing/solver/stages.h"

namespace tenure::packing {

// Some item has a hint.
bool HasHints(const Problem& problem);

// Changes offsets of a valid packing, never its height for the worse.
void PreferHints(Task& task, Packing& packing);

// Packs around the hints; leaves packing.offsets empty if that does not fit into the capacity.
void KeepHints(Task& task, Packing& packing);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_SOLVER_HINTS_H_

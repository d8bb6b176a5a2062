// What the solver hands to the strategies, and what they hand back.
//
//   SolvePlain     lifetimes, sizes and alignments only: skyline portfolio, improvement, exact
//   search SolveGeneral   everything: first fit over bodies in the orders that the skyline suggests
//
// A strategy fills in offsets, arena_of and statistics, may raise lower_bound, and may say
// kInfeasible; the solver validates and decides the outcome. Thread safety: single-threaded.
// Ownership: borrows. Errors: none.

#ifndef TENURE_PLANNER_PACKING_STRATEGY_H_
#define TENURE_PLANNER_PACKING_STRATEGY_H_

#include <cstdint>

#include "tenure/planner/packing/budget.h"
#include "tenure/planner/packing/packing.h"
#include "tenure/planner/packing/problem.h"
#include "tenure/planner/packing/solver.h"

namespace tenure::packing {

struct Task {
  const Problem& problem;
  const SolveOptions& options;
  uint64_t capacity;     // kUnlimited: as low as it gets
  uint64_t lower_bound;  // of LowerBound(problem)
  Budget& budget;

  // A packing at most this high ends the work.
  uint64_t Target() const { return capacity == kUnlimited ? lower_bound : capacity; }
};

// Both leave `packing.offsets` empty if nothing at most as high as the capacity was found.
void SolvePlain(Task& task, Packing& packing);
void SolveGeneral(Task& task, Packing& packing);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_STRATEGY_H_

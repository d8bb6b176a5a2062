// What the solver hands to the strategies, and what they hand back.
//
//   SolvePlain     lifetimes, sizes and alignments only: skyline portfolio and repair
//
//   SolveGeneral   everything: first fit over groups in the orders that the skyline suggests
//
//   SolveCore      one arena, large: the fullest moments exactly, best fit elsewhere
//
//   SolveExact     one arena: search until proven, or within a count of nodes
//
// A strategy fills in offsets, arena_of and statistics, may raise lower_bound, and may say
// kInfeasible; the solver validates and decides the outcome. Thread safety: single-threaded.
// Ownership: borrows. Errors: none.

#ifndef TENURE_PLANNER_PACKING_SOLVER_STAGES_H_
#define TENURE_PLANNER_PACKING_SOLVER_STAGES_H_

#include <cstdint>

#include "tenure/planner/packing/budget.h"
#include "tenure/planner/packing/options.h"
#include "tenure/planner/packing/packing.h"
#include "tenure/planner/packing/plain.h"
#include "tenure/planner/packing/problem.h"

namespace tenure::packing {

struct Task {
  const Problem& problem;
  const SolveOptions& options;
  uint64_t capacity;     // kUnlimited: as low as it gets
  uint64_t limit;        // nothing higher is of use: the capacity, or the limit of the only arena
  uint64_t lower_bound;  // of LowerBound(problem)
  Budget& budget;

  // A packing at most this high ends the work.
  uint64_t Target() const { return capacity == kUnlimited ? lower_bound : limit; }
};

// What the packing has is kept unless something lower is found; the offsets stay empty if nothing
// is known.

// Skyline portfolio and repair, with the budget of placements of that effort. `plain` is the task's
// problem in that form.
void SolvePlain(Task& task, const PlainInstance& plain, Effort portfolio, Packing& packing);

// First fit over groups. Says kInfeasible where fixed offsets contradict each other.
void SolveGeneral(Task& task, Packing& packing);

// Looks for a packing at the target around an exactly packed core, with a small budget of nodes.
void SolveCore(Task& task, Packing& packing);

// Improves the packing or proves that it cannot be improved. `limited`: with the node budget of
// balanced effort. Does nothing for what exact search does not take.
void SolveExact(Task& task, bool limited, Packing& packing);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_SOLVER_STAGES_H_

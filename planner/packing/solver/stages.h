// The stages of the solver, and the task that they share.
//
//   SolvePlain     takes lifetimes, sizes and alignments only: skyline portfolio and repair
//
//   SolveGeneral   takes every problem: first fit over groups, in the orders that the skyline
//                  suggests
//
//   SolveCore      takes large problems of one arena: packs the fullest moments exactly, and the
//                  rest by best fit
//
//   SolveExact     takes one arena: searches until the result is proven, or for a number of nodes
//
// A stage fills in offsets, arena_of and statistics. It may raise lower_bound and may report
// kInfeasible. The solver validates the packing and decides the outcome. Thread safety:
// single-threaded. Ownership: borrows. Errors: none.

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
  uint64_t capacity;     // kUnlimited: find the lowest packing
  uint64_t limit;        // the highest useful height: the capacity, or the limit of the only arena
  uint64_t lower_bound;  // of LowerBound(problem)
  Budget& budget;

  // A packing that is at most this high ends the work.
  uint64_t Target() const { return capacity == kUnlimited ? lower_bound : limit; }
};

// Each stage keeps the given packing unless it finds a lower one. If no packing is known, the
// offsets stay empty.

// Runs the skyline portfolio and repair with the budget of that effort. `plain` is the task's
// problem in plain form.
void SolvePlain(Task& task, const PlainInstance& plain, Effort portfolio, Packing& packing);

// Runs first fit over groups. Reports kInfeasible if fixed offsets contradict each other.
void SolveGeneral(Task& task, Packing& packing);

// Looks for a packing at the target around an exactly packed core, with a small budget of nodes.
void SolveCore(Task& task, Packing& packing);

// Improves the packing or proves that it can't be improved. If `limited`, it uses the node budget
// of balanced effort. Does nothing for problems that exact search doesn't support.
void SolveExact(Task& task, bool limited, Packing& packing);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_SOLVER_STAGES_H_

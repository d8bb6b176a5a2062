// Solve: offsets for the items of a packing problem, in as few bytes as the effort allows, with
// proof where proof is possible.
//
// Why one entry: callers choose how much work the answer is worth, never which algorithm.
//
//   fast      the greedy portfolio: near-linear; below a millisecond for hundreds of items
//
//   balanced  fast, then a fixed budget of improvement, counted in work and not in seconds:
//             deterministic
//
//   optimal   until the height is proven minimal (or, with a capacity, until something fits or
//             nothing can), or until the deadline. With what exact search does not take (windows in
//             gaps, adjacency, arenas to choose from, a partial order): the best of balanced, and
//             proven only where it meets a lower bound
//
//   SolveOptions options{.effort = Effort::kOptimal, .deadline = absl::Now() + absl::Seconds(10)};
//   absl::StatusOr<Packing> packing = Solve(problem, options);
//   if (packing.ok() && packing->has_offsets()) Use(packing->offsets);
//
// All efforts are anytime: the best valid packing so far is returned at the deadline or on a
// cancel. Every packing is checked by the validator before it is returned. The same problem and
// options give the same answer, whatever the number of threads; only an answer with deadline_hit
// may differ from run to run.
//
// Cost: linear memory, about 150 bytes an item. fast: O(n log n) for what schedules look like.
// Thread safety: Solve may be called from any number of threads. Ownership: borrows the problem and
// the cancel flag (must outlive the call). Errors: InvalidArgument for a malformed problem or
// option; Internal if a packing fails validation (a bug: please report the problem).

#ifndef TENURE_PLANNER_PACKING_SOLVER_H_
#define TENURE_PLANNER_PACKING_SOLVER_H_

#include "absl/status/statusor.h"
#include "tenure/planner/packing/options.h"
#include "tenure/planner/packing/packing.h"
#include "tenure/planner/packing/problem.h"

namespace tenure::packing {

absl::StatusOr<Packing> Solve(const Problem& problem, const SolveOptions& options = {});

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_SOLVER_H_

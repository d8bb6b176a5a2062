// Solve: finds offsets for the items of a packing problem, in as few bytes as the effort allows,
// and proves optimality where it can.
//
// Why there is one function: callers choose how much work the answer is worth, never the algorithm.
//
//   fast      the greedy portfolio. It takes near-linear time: less than a millisecond for
//             hundreds of items.
//
//   balanced  fast, then a fixed budget of improvement. The budget counts work and not seconds,
//             so the result is deterministic.
//
//   optimal   works until the height is proven minimal (or, with a capacity, until something fits
//             or nothing can), or until the deadline. Exact search doesn't support windows in gaps,
//             adjacency, a choice of arenas and partial orders. For those the result is the best of
//             balanced, and it is proven optimal only where it meets a lower bound. With a
//             deadline, all the work of balanced comes first. Packing::search_limit says why
//             there is no proof if nothing cut the work short.
//
//   SolveOptions options{.effort = Effort::kOptimal, .deadline = absl::Now() + absl::Seconds(10)};
//   absl::StatusOr<Packing> packing = Solve(problem, options);
//   if (packing.ok() && packing->has_offsets()) Use(packing->offsets);
//
// All efforts are anytime: the best valid packing so far is returned at the deadline or after a
// cancel. The validator checks every packing before it is returned. The same problem and options
// give the same answer with any number of threads. Only an answer with deadline_hit may differ from
// run to run.
//
// Cost: linear memory, about 150 bytes an item. Effort fast takes O(n log n) for problems made from
// schedules. Thread safety: Solve may be called from any number of threads. Ownership: borrows the
// problem and the cancel flag, which must outlive the call. Errors: InvalidArgument for a malformed
// problem or option; Internal if a packing fails validation (this is a bug: please report the
// problem).

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

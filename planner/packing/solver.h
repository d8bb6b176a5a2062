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

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tenure/planner/packing/exact/rules.h"
#include "tenure/planner/packing/packing.h"
#include "tenure/planner/packing/problem.h"

namespace tenure::packing {

enum class Effort { kFast, kBalanced, kOptimal };

// "fast", "balanced", "optimal".
std::string_view EffortName(Effort effort);
std::optional<Effort> ParseEffort(std::string_view name);

// What Item::hint means.
enum class HintPolicy {
  kIgnore,
  kPrefer,  // an item lies at its hint where that costs no height
  kKeep,  // re-planning: hints are kept wherever they agree with each other and with the capacity,
          // even at the cost of height; items without a hint are packed around them
};

// Rules of exact search, each a switch so that a table can show what it brings. All on by default.
using SearchRules = exact::Rules;

struct SolveOptions {
  Effort effort = Effort::kBalanced;

  // Work ends soon after this time, counted from the entry of Solve, validation included.
  absl::Time deadline = absl::InfiniteFuture();

  // Work ends soon after *cancel becomes true. May be null. Borrowed: must outlive the call.
  const std::atomic<bool>* cancel = nullptr;

  // A second way to cancel, for callers that have no flag to set. Work asks this function now and
  // then and ends soon after it has returned true; from then on it must always return true. It is
  // called from all threads of the search, at the same time. May be empty.
  std::function<bool()> stop = nullptr;

  // Threads that exact search may use, the calling one included; at least 1.
  int max_threads = 1;

  // With a capacity (here or in the problem, the smaller counts) the question is whether the items
  // fit into it; without one, how low they get.
  uint64_t capacity = kUnlimited;

  HintPolicy hints = HintPolicy::kPrefer;

  // optimal only: ends with what has been found after this many nodes of search. Counted, so
  // deterministic.
  uint64_t max_nodes = kUnlimited;

  SearchRules rules = {};

  // Called now and then from the calling thread with the best height and bound so far; may be
  // empty.
  std::function<void(uint64_t best_height, uint64_t lower_bound)> progress = nullptr;
};

absl::StatusOr<Packing> Solve(const Problem& problem, const SolveOptions& options = {});

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_SOLVER_H_

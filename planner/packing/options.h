// The options of the solver: how much work an answer is worth, and when to stop.
//
// Why not in solver.h: the parts of the solver read these options and don't depend on the function
// that calls them.
//
// Thread safety: thread-compatible. Ownership: borrows the cancel flag, which must outlive the
// call. Errors: none.

#ifndef TENURE_PLANNER_PACKING_OPTIONS_H_
#define TENURE_PLANNER_PACKING_OPTIONS_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "absl/time/time.h"
#include "tenure/planner/packing/problem.h"
#include "tenure/planner/packing/search_rules.h"

namespace tenure::packing {

enum class Effort { kFast, kBalanced, kOptimal };

// "fast", "balanced", "optimal".
std::string_view EffortName(Effort effort);
std::optional<Effort> ParseEffort(std::string_view name);

// How Item::hint is used.
enum class HintPolicy {
  kIgnore,
  kPrefer,  // an item is placed at its hint where that doesn't make the packing higher
  kKeep,  // re-planning: hints are kept wherever they agree with each other and with the capacity,
          // even at the cost of height; items without a hint are packed around them
};

// The rules of exact search. Each can be switched off, so that a table can show its effect. All are
// on by default.
using SearchRules = exact::Rules;

struct SolveOptions {
  Effort effort = Effort::kBalanced;

  // Work ends soon after this time. Validating the problem and the packing is part of the work.
  absl::Time deadline = absl::InfiniteFuture();

  // Work ends soon after *cancel becomes true. May be null. The flag is borrowed and must outlive
  // the call.
  const std::atomic<bool>* cancel = nullptr;

  // A second way to cancel, for callers that have no flag. The solver calls this function now and
  // then, and ends soon after it has returned true; from then on it must always return true. All
  // threads of the search call it, at the same time. May be empty.
  std::function<bool()> stop = nullptr;

  // How many threads exact search may use, the calling thread included; at least 1.
  int max_threads = 1;

  // With a capacity, the solver looks for any packing that fits into it; without one, for the
  // lowest packing. A problem may have a capacity as well: the smaller one applies.
  uint64_t capacity = kUnlimited;

  HintPolicy hints = HintPolicy::kPrefer;

  // For effort optimal only: after this many nodes of search, the best result so far is returned.
  // Nodes are counted, so the result is deterministic.
  uint64_t max_nodes = kUnlimited;

  SearchRules rules = {};

  // Called now and then, on the calling thread, with the best height and bound so far. May be
  // empty.
  std::function<void(uint64_t best_height, uint64_t lower_bound)> progress = nullptr;
};

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_OPTIONS_H_

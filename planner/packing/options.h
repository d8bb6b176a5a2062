// What a caller of the solver decides: how much work the answer is worth, and what ends the work.
//
// Why apart from solver.h: the parts of the solver read these options and know nothing of the
// function that calls them.
//
// Thread safety: thread-compatible. Ownership: borrows the cancel flag (must outlive the call).
// Errors: none.

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

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_OPTIONS_H_

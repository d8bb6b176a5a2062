// Why a problem does not fit: the peak, and a set of items that is too much on its own.
//
// Why: "infeasible" alone leaves its reader with ten thousand buffers. What helps is a handful of
// them that cannot be packed whatever happens to the rest, so that one of them must shrink, move or
// go; and the moment at which most bytes are needed, with what lives then.
//
//   absl::StatusOr<Explanation> why = Explain(problem, options);
//   std::cerr << ExplanationText(problem, *why, {.item = [&](uint32_t i) { return names[i]; }});
//
//   12 items need at least 1310720 bytes, 262144 more than the capacity 1048576.
//   Peak of 1310720 bytes at [17, 19), 12 items live:
//     conv3.out: 524288 bytes, lives [11, 19)
//     ...
//   These 3 cannot be packed together; without any one of them the others can:
//     ...
//
// How: if the peak alone is too much, the largest items of the peak, as few as it takes. Otherwise
// items are taken away as long as the rest is still proven infeasible: those far from the peak
// first, in halves, then one by one.
//
// Cost: n log n if the peak alone exceeds the capacity; otherwise a proof for each item that stays
// and some for those that go. `options` bound it: max_nodes each of these proofs, the deadline all
// of them together, and what has been found by then is returned. Thread safety: safe to call from
// any thread. Ownership: borrows for the call. Errors: InvalidArgument for a malformed problem;
// FailedPrecondition if the problem is not proven infeasible within the options.

#ifndef TENURE_PLANNER_PACKING_EXPLAIN_H_
#define TENURE_PLANNER_PACKING_EXPLAIN_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tenure/planner/packing/lower_bound.h"
#include "tenure/planner/packing/options.h"
#include "tenure/planner/packing/problem.h"

namespace tenure::packing {

struct Explanation {
  uint64_t capacity = 0;     // what the items do not fit into; kUnlimited: arenas' limits alone
  uint64_t lower_bound = 0;  // of the whole problem
  Peak peak;
  std::vector<uint32_t> peak_items;  // what holds bytes at the peak, largest first
  std::vector<uint32_t> conflict;    // cannot be packed together, ascending; empty: not proven
  // Without any one of its items the conflict can be packed. False if a proof was cut short; then
  // the conflict is still infeasible, and perhaps larger than need be.
  bool irreducible = false;
};

// `options`: what the problem was not packed with; effort optimal proves most. `proven`: the caller
// knows that nothing fits (Outcome::kInfeasible), and it is not proven again.
absl::StatusOr<Explanation> Explain(const Problem& problem, const SolveOptions& options,
                                    bool proven = false);

// The peak alone, without a conflict: for what was neither packed nor refuted.
Explanation ExplainPeak(const Problem& problem, const SolveOptions& options);

// What to call things; each may be empty.
struct ExplanationNames {
  std::function<std::string(uint32_t item)> item = nullptr;             // "item 7"
  std::function<std::string(Time first, Time last)> moments = nullptr;  // "[17, 19)"
};

// Several lines; of long lists the first 20 entries.
std::string ExplanationText(const Problem& problem, const Explanation& explanation,
                            const ExplanationNames& names = {});

// The problem with only these items (ascending), and what the side tables say of them.
Problem Restrict(const Problem& problem, const std::vector<uint32_t>& items);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_EXPLAIN_H_

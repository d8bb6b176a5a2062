// Why a problem does not fit: the peak, and a set of items that is too much on its own.
//
// Why: "infeasible" alone leaves its reader with ten thousand buffers. What helps is a handful of
// them that cannot be packed whatever happens to the rest, so that one of them must shrink, move or
// go; and the moment at which most bytes are needed, with what lives then.
//
//   absl::StatusOr<Explanation> why = Explain(problem, options);
//   std::cerr << ExplanationText(problem, *why, [&](uint32_t i) { return names[i]; });
//
//   12 items need at least 1310720 bytes, 262144 more than the capacity 1048576:
//   peak of 1310720 bytes from 17 to 19: 12 items live
//   ...
//   these 3 cannot be packed together; without any one of them the others can:
//
// How: items are taken away as long as the rest is still proven infeasible: in halves, then one by
// one.
//
// Cost: linear if the peak alone exceeds the capacity; otherwise a proof for each item that stays
// and some for those that go, each bounded by the options. Thread safety: safe to call from any
// thread. Ownership: borrows for the call. Errors: InvalidArgument for a malformed problem;
// FailedPrecondition if the problem is not proven infeasible.

#ifndef TENURE_PLANNER_PACKING_EXPLAIN_H_
#define TENURE_PLANNER_PACKING_EXPLAIN_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tenure/planner/packing/lower_bound.h"
#include "tenure/planner/packing/problem.h"
#include "tenure/planner/packing/solver.h"

namespace tenure::packing {

struct Explanation {
  uint64_t capacity = 0;     // what the items do not fit into
  uint64_t lower_bound = 0;  // of the whole problem
  Peak peak;
  std::vector<uint32_t> peak_items;  // what holds bytes at the peak, largest first
  std::vector<uint32_t> conflict;    // cannot be packed together, ascending
  // Without any one of its items the conflict can be packed. False if a proof was cut short; then
  // the conflict is still infeasible, and perhaps larger than need be.
  bool irreducible = false;
};

absl::StatusOr<Explanation> Explain(const Problem& problem, const SolveOptions& options);

// Several lines; `name` says what to call an item (may be empty: "item 7").
std::string ExplanationText(const Problem& problem, const Explanation& explanation,
                            const std::function<std::string(uint32_t)>& name = nullptr);

// The problem with only these items (ascending), and what the side tables say of them.
Problem Restrict(const Problem& problem, const std::vector<uint32_t>& items);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_EXPLAIN_H_

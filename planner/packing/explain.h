// Explains why a problem does not fit: by its peak, and by a small set of items that can't be
// packed even alone.
//
// Why: "infeasible" alone leaves its reader with ten thousand buffers. A handful of them helps
// more, if they can't be packed whatever happens to the rest: one of them must shrink, move or go.
// It also helps to know the moment at which most bytes are needed, and the items that live then.
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
// How: if the sizes at the peak alone exceed the capacity, the conflict is the largest items of the
// peak, as few as it takes. Otherwise items are removed as long as the rest is still proven
// infeasible. The items far from the peak are tried first, in groups whose size halves, then one by
// one.
//
// Cost: n log n if the peak alone exceeds the capacity. Otherwise it takes a proof for each item
// that stays and for some of those that go. `options` limits the work: max_nodes applies to each
// proof, and the deadline to all of them together. At the deadline, the result so far is returned.
// Thread safety: safe to call from any thread. Ownership: borrows for the call. Errors:
// InvalidArgument for a malformed problem; FailedPrecondition if the problem is not proven
// infeasible within the options.

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
  uint64_t capacity = 0;     // that the items exceed; kUnlimited: only the arenas' limits count
  uint64_t lower_bound = 0;  // of the whole problem
  Peak peak;
  std::vector<uint32_t> peak_items;  // those that hold bytes at the peak, largest first
  std::vector<uint32_t>
      conflict;  // items that can't be packed together, ascending; empty: none proven
  // True if the conflict can be packed as soon as any one of its items is removed. False if a proof
  // was cut short: the conflict is still infeasible, but it may be larger than necessary.
  bool irreducible = false;
};

// `options` should be those with which the problem could not be packed; effort optimal proves most.
// Set `proven` if the problem is known to be infeasible (Outcome::kInfeasible); that is not proven
// again then.
absl::StatusOr<Explanation> Explain(const Problem& problem, const SolveOptions& options,
                                    bool proven = false);

// Explains by the peak alone, without a conflict: for a problem that was neither packed nor proven
// infeasible.
Explanation ExplainPeak(const Problem& problem, const SolveOptions& options);

// How the text names things. Each function may be empty.
struct ExplanationNames {
  std::function<std::string(uint32_t item)> item = nullptr;             // "item 7"
  std::function<std::string(Time first, Time last)> moments = nullptr;  // "[17, 19)"
};

// Returns several lines of text. Long lists are cut after 20 entries.
std::string ExplanationText(const Problem& problem, const Explanation& explanation,
                            const ExplanationNames& names = {});

// Returns the problem reduced to these items (ascending), with the entries of its side tables that
// concern them.
Problem Restrict(const Problem& problem, const std::vector<uint32_t>& items);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_EXPLAIN_H_

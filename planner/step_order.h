// StepOrder: whether one step of a schedule is over before another starts.
//
// Why: who may share bytes is a question about this order. In total order it is a comparison of
// numbers. With dependencies the steps are cut into chains (paths of the graph), and for each step
// and chain the first step of that chain is kept that comes after it:
//
//   chain 0   s0 -> s1 -> s4           after(s1): position 2 in chain 0, position 1 in chain 1:
//                    \                 so s1 precedes s4 and s3, and may run beside s2
//   chain 1   s2 -> s3
//
// Graphs too wide for such a table are answered by looking at stages first (a stage begins where
// every earlier step precedes every later one), and by search only if that does not tell.
//
// Cost: to build, the edges times the chains, and 4 bytes for each step and chain, at most 128 MiB;
// a question is O(1). Without the table: linear to build; SurelyPrecedes looks at the direct
// dependencies of one step, Precedes searches.
// Thread safety: thread-compatible. Ownership: borrows the schedule, which must not change.
// Errors: none; Schedule has checked the edges.

#ifndef TENURE_PLANNER_STEP_ORDER_H_
#define TENURE_PLANNER_STEP_ORDER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/types/span.h"
#include "tenure/planner/schedule.h"

namespace tenure {

// The steps of a set that stand for all of it: what precedes every one of `earliest` precedes the
// set, and what comes after every one of `latest` comes after it. Ascending.
struct StepEnds {
  absl::InlinedVector<uint32_t, 1> earliest;
  absl::InlinedVector<uint32_t, 1> latest;
};

class StepOrder {
 public:
  // `max_table_entries` is for tests, which want to see small graphs answered without the table.
  static constexpr size_t kTableEntries = size_t{1} << 25;
  explicit StepOrder(const Schedule& schedule, size_t max_table_entries = kTableEntries);

  bool total() const { return chain_.empty(); }

  bool Precedes(uint32_t a, uint32_t b) const;
  // Never true where Precedes is not. Cheap in any graph, and exact where there is a table.
  bool SurelyPrecedes(uint32_t a, uint32_t b) const;

  // Of steps in ascending order, not empty.
  StepEnds Ends(absl::Span<const uint32_t> steps) const;
  // Whether every step of one set surely precedes every step of the other.
  bool SurelyPrecede(const StepEnds& before, const StepEnds& after) const;
  bool Precede(const StepEnds& before, const StepEnds& after) const;

  // Of two steps on one chain the earlier precedes the later.
  uint32_t Chain(uint32_t step) const { return total() ? 0 : chain_[step]; }

 private:
  bool has_table() const { return !after_.empty(); }
  uint32_t FindChains();
  void FindStages();
  void FillTable(uint32_t chains);
  bool Search(uint32_t a, uint32_t b) const;

  const std::vector<Step>* steps_;
  uint32_t chains_ = 0;
  std::vector<uint32_t> chain_, position_, stage_;  // of each step; empty in total order
  std::vector<uint32_t> after_;                     // [step][chain]: first position that is after
};

}  // namespace tenure

#endif  // TENURE_PLANNER_STEP_ORDER_H_

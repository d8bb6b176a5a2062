// StepOrder: whether one step of a schedule is over before another starts.
//
// This order decides which storages may share bytes. In total order it is a comparison of numbers.
// With dependencies, the steps are divided into chains (paths of the graph). A table holds, for
// each step and each chain, the first step of the chain that comes after the step:
//
//   chain 0   s0 -> s1 -> s4           after(s1): position 2 in chain 0, position 1 in chain 1:
//                    \                 so s1 precedes s4 and s3, and may run beside s2
//   chain 1   s2 -> s3
//
// A wide graph would need too large a table and has none. Then two steps are compared by their
// stages first (a stage begins where every earlier step precedes every later one), and by a search
// of the graph if they are in the same stage.
//
// Cost: the table takes time for each edge and chain to build, and 4 bytes for each step and chain,
// at most 128 MiB; a question is O(1). Without the table the time to build is linear;
// SurelyPrecedes looks at the direct dependencies of one step, and Precedes searches. Thread
// safety: thread-compatible. Ownership: borrows the schedule, which must not change. Errors: none;
// Schedule has checked the edges.

#ifndef TENURE_PLANNER_STEP_ORDER_H_
#define TENURE_PLANNER_STEP_ORDER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/types/span.h"
#include "tenure/planner/schedule.h"

namespace tenure {

// The ends of a set of steps. A step that precedes all of `earliest` precedes the whole set, and a
// step that comes after all of `latest` comes after the whole set. Both are in ascending order.
struct StepEnds {
  absl::InlinedVector<uint32_t, 1> earliest;
  absl::InlinedVector<uint32_t, 1> latest;
};

class StepOrder {
 public:
  // Tests set `max_table_entries` to see small graphs work without the table.
  static constexpr size_t kTableEntries = size_t{1} << 25;
  explicit StepOrder(const Schedule& schedule, size_t max_table_entries = kTableEntries);

  bool total() const { return chain_.empty(); }

  bool Precedes(uint32_t a, uint32_t b) const;
  // A cheap approximation: true only if Precedes is. With a table it is exact.
  bool SurelyPrecedes(uint32_t a, uint32_t b) const;

  // `steps` must be in ascending order and not empty.
  StepEnds Ends(absl::Span<const uint32_t> steps) const;
  // Whether every step of one set surely precedes every step of the other.
  bool SurelyPrecede(const StepEnds& before, const StepEnds& after) const;
  bool Precede(const StepEnds& before, const StepEnds& after) const;

  // The number of the chain of a step. Of two steps on one chain the earlier precedes the later.
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

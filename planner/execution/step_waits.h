// StepWaits: the earlier steps that each step must wait for because they run on other queues.
//
// Why: a queue keeps its own steps in order, so waits are needed only where an order crosses from
// one queue to another. There are three sources of such orders. In total order, they are hazards
// (two steps touch the same bytes of one storage and one of them writes) and reuse edges (the plan
// gave the same bytes to two storages). With dependencies, they are Step::after. Waits that others
// imply are left out.
//
//   queue 0   | 0: write a |               | 2: write b, in the bytes of a |
//                     \ hazard            / reuse edge
//   queue 1            '--> | 1: read a |-             waits of step 1: {0}, of step 2: {1}
//
// Example:
//   const StepWaits waits(steps, OrderKind::kTotal, placed.reuse_edges, {0, 1, 0});
//   for (uint32_t before : waits.Of(2)) std::cout << "step 2 waits for step " << before << "\n";
//
// Cost: building takes the touches of each storage times its distinct windows, and for each
// step a vector with 4 bytes per queue. With one queue nothing is computed. Thread safety: thread-compatible.
// Ownership: a value. Errors: none; steps, edges and queues must have been checked.

#ifndef TENURE_PLANNER_EXECUTION_STEP_WAITS_H_
#define TENURE_PLANNER_EXECUTION_STEP_WAITS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "tenure/planner/plan.h"
#include "tenure/planner/schedule.h"

namespace tenure {

class StepWaits {
 public:
  // `queues`: the number of the queue that each step runs on.
  StepWaits(absl::Span<const Step> steps, OrderKind order, absl::Span<const ReuseEdge> reuse_edges,
            absl::Span<const uint32_t> queues);

  // Latest first; at most one for each other queue.
  absl::Span<const uint32_t> Of(uint32_t step) const {
    return absl::MakeConstSpan(waits_).subspan(begin_[step], begin_[step + 1] - begin_[step]);
  }
  // Whether any step waits for this one.
  bool IsWaitedFor(uint32_t step) const { return is_waited_for_[step]; }

 private:
  std::vector<uint32_t> waits_;  // of all steps, one after the other
  std::vector<size_t> begin_;    // of each step in waits_, and the end
  std::vector<bool> is_waited_for_;
};

}  // namespace tenure

#endif  // TENURE_PLANNER_EXECUTION_STEP_WAITS_H_

// WorkCounts: how often this process has done the expensive parts of planning. Tests use them to
// show that nothing is computed twice. Internal to the planner.
//
// Cost: one relaxed atomic addition for each part. Thread safety: thread-safe.

#ifndef TENURE_PLANNER_WORK_COUNTS_H_
#define TENURE_PLANNER_WORK_COUNTS_H_

#include <atomic>
#include <cstdint>

namespace tenure::internal {

struct WorkCounts {
  std::atomic<uint64_t> step_orders{0};
  std::atomic<uint64_t> liveness_analyses{0};
  std::atomic<uint64_t> validations{0};
};
inline constinit WorkCounts work_counts;

}  // namespace tenure::internal

#endif  // TENURE_PLANNER_WORK_COUNTS_H_

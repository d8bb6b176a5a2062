// Fingerprint: a number that tells schedules apart, so that a stored plan is only used for the
// schedule that it was made for.
//
// Cost: linear in the reads and writes. Thread safety: pure functions on schedules that no thread
// changes meanwhile.

#ifndef TENURE_PLANNER_FINGERPRINT_H_
#define TENURE_PLANNER_FINGERPRINT_H_

#include <cstdint>

#include "absl/types/span.h"
#include "tenure/planner/schedule.h"

namespace tenure {

// Two schedules with the same steps, windows, storages, spaces and marks have the same number, in
// every process. Schedules that differ in any of these have different numbers, but for a chance of
// 1 in 2^64. Where kept inputs live makes no difference, as no plan places them.
uint64_t Fingerprint(const Schedule& schedule);

namespace internal {
// The same number, for a caller that has numbered the storages already. `storage_numbers` holds the
// number of the storage of each buffer, step by step, reads before writes.
uint64_t Fingerprint(const Schedule& schedule, absl::Span<const uint32_t> storage_numbers);
}  // namespace internal

}  // namespace tenure

#endif  // TENURE_PLANNER_FINGERPRINT_H_

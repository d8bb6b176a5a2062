// RebindSteps: gives the steps of a schedule other buffers. Internal to the planner and executions.
//
// Cost: linear in the reads and writes. Thread safety: thread-compatible. Ownership: the steps own
// their new handles. Errors: InvalidArgument, and then nothing has changed.

#ifndef TENURE_PLANNER_REBIND_H_
#define TENURE_PLANNER_REBIND_H_

#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "tenure/planner/schedule.h"

namespace tenure::internal {

// By storage that the steps use: the window that stands for all of it. Whole storages need no
// entry.
using BoundWindows = absl::flat_hash_map<StorageId, Buffer>;

// `bound` are earlier rebindings to windows of storages; it is brought up to date. A `to` may be a
// window, as large as what it stands for.
absl::Status RebindSteps(absl::Span<const Rebinding> rebindings, std::vector<Step>& steps,
                         BoundWindows& bound);

}  // namespace tenure::internal

#endif  // TENURE_PLANNER_REBIND_H_
